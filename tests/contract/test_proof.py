"""No transfer is done before it is proved: a server that stores or returns other bytes is detected."""

from __future__ import annotations

from providers.contract.aged_facts import AgedFact
from providers.contract.capabilities import Proof
from providers.testing.suite.transfers.test_proof import *  # noqa: F403
from providers.testing.support import content, source
from providers.testing.transfers import upload
from tests.contract.harnesses import HARNESSES, only


@only(HARNESSES, lambda harness: harness.service in ("backblaze", "dropbox"))
def test_a_sent_checksum_proves_nothing_unless_the_server_was_seen_to_enforce_it(harness, root, monkeypatch):
    """The checksum the service reports may be a copy of the one it was sent."""
    monkeypatch.setattr(AgedFact, "recall", lambda self: {"sha1_enforced": False, "content_hash": False})
    provider = root.connect()
    for size in (1000, 2 * harness.limits.part_bytes + 1):
        assert upload(provider, source(root.tmp, content(size)), "x").proof is Proof.READ_BACK
