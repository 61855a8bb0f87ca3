"""Service limits on storage, traffic or requests: queued work waits, or the error names the time.

None of them may look like a missing right, or users would change keys and roles that are correct.
"""

from __future__ import annotations

import pytest

from backup.journal.records import Ending, Item
from backup.model.transfers import ItemKind, JobKind
from backup.worker.items.judgement import MAX_FAILURES, Chances, judge
from providers.errors import ProviderError, Unsupported
from providers.testing.harness import Operation
from providers.testing.support import content, gone
from providers.testing.transfers import run
from tests.contract.harnesses import HARNESSES, only
from tests.servers import b2_errors, drive_errors, dropbox_errors, s3_errors

CHANCES = Chances(now=lambda: 1000.0)
UP, DOWN = Operation.UPLOAD, Operation.DOWNLOAD
PARTS = Operation.UPLOAD_PARTS
WAITS, SAYS_SO = Ending.WAITING, Ending.FAILED

LIMITS = {
    "aws_s3": [
        (s3_errors.quota_exceeded(), UP, SAYS_SO, "Make room"),
        (s3_errors.cap_exceeded(), UP, SAYS_SO, "Raise the cap"),
        (s3_errors.cap_exceeded(), PARTS, SAYS_SO, "Raise the cap"),
        (s3_errors.slow_down(), UP, WAITS, "continues by itself"),
        (s3_errors.slow_down(), DOWN, WAITS, "continues by itself"),
    ],
    "google_drive": [
        (drive_errors.download_quota_exceeded(), DOWN, SAYS_SO, "ends after about a day"),
        (drive_errors.upload_quota_exceeded(), UP, SAYS_SO, "ends after about a day"),
        (drive_errors.upload_quota_exceeded(), PARTS, SAYS_SO, "ends after about a day"),
        (drive_errors.storage_quota_exceeded(), UP, SAYS_SO, "get more storage"),
        (drive_errors.daily_limit_exceeded(), UP, SAYS_SO, "reset at midnight (Pacific)"),
        (drive_errors.daily_limit_exceeded(), DOWN, SAYS_SO, "reset at midnight (Pacific)"),
        (drive_errors.user_rate_limit_exceeded(), UP, WAITS, "continues by itself"),
        (drive_errors.user_rate_limit_exceeded(), DOWN, WAITS, "continues by itself"),
        (drive_errors.sharing_rate_limit_exceeded(), UP, WAITS, "continues by itself"),
    ],
    "backblaze": [
        (b2_errors.storage_cap_exceeded(), UP, SAYS_SO, "Raise the cap in the B2 console"),
        (b2_errors.storage_cap_exceeded(), PARTS, SAYS_SO, "Raise the cap in the B2 console"),
        (b2_errors.transaction_cap_exceeded(), UP, SAYS_SO, "retry after midnight GMT"),
        (b2_errors.transaction_cap_exceeded(), DOWN, SAYS_SO, "retry after midnight GMT"),
        (b2_errors.download_cap_exceeded(), DOWN, SAYS_SO, "retry after midnight GMT"),
        (b2_errors.too_many_requests(), UP, WAITS, "continues by itself"),
        (b2_errors.too_many_requests(), DOWN, WAITS, "continues by itself"),
        (b2_errors.service_unavailable(), PARTS, WAITS, "continues by itself"),
    ],
    "dropbox": [
        (dropbox_errors.refused("path", "team_folder_insufficient_space"), UP, SAYS_SO, "Free space in this Dropbox"),
        (dropbox_errors.refused("path", "insufficient_space"), UP, SAYS_SO, "Free space in this Dropbox"),
        (dropbox_errors.refused("path", "insufficient_space"), PARTS, SAYS_SO, "Free space in this Dropbox"),
        (dropbox_errors.refused("path", "upload_traffic_limit_reached"), UP, SAYS_SO, "is reset daily or monthly"),
        (dropbox_errors.too_many_write_operations(), UP, WAITS, "continues by itself"),
        (dropbox_errors.refused("too_many_write_operations", status=429), PARTS, WAITS, "continues by itself"),
        (dropbox_errors.refused("too_many_requests", status=429), DOWN, WAITS, "continues by itself"),
    ],
}


def item(failures: int) -> Item:
    return Item(
        id=1, job_id=1, place_id=1, instance="i", job_kind=JobKind.UPLOAD, kind=ItemKind.FILE, name="n", key="n",
        local_path="/n", size_bytes=10, bytes_done=0, attempts=1, failures=failures, replaces=None, begun=False,
    )  # fmt: skip


@only(HARNESSES, lambda harness: harness.service in LIMITS)
def test_a_service_limit_is_waited_out_or_named(harness, root):
    root.plant({"there": content(1000)})
    provider = root.ready(max_retries=0)
    provider.stat("there")
    for fault, operation, ending, words in LIMITS[harness.service]:
        rule = root.wired.fault(fault, times=None)
        with pytest.raises(ProviderError) as caught:
            run(operation, harness, root, provider)
        rule.release()
        error = caught.value
        assert error.kind in ("quota", "rate_limited"), error
        assert words in " ".join(error.hint.split())
        outcome = judge(error, item(failures=MAX_FAILURES if ending is WAITS else 0), CHANCES)
        assert outcome.ending is ending, error
        assert outcome.error is not None
        assert (outcome.error.kind, outcome.error.hint) == (error.kind, error.hint)
        assert (outcome.wait_until is not None) == (ending is WAITS)
    assert set(root.stored()) == {"there"}
    assert gone(root.tmp, but=("source.bin",)) == []


@only(HARNESSES, lambda harness: harness.service == "aws_s3")
def test_an_archived_object_is_named_as_such(harness, root):
    root.plant({"there": content(1000)})
    provider = root.ready(max_retries=0)
    root.wired.fault(s3_errors.invalid_object_state(), harness.requests.read, times=None)
    with pytest.raises(Unsupported, match="archived; restore it first") as caught:
        run(DOWN, harness, root, provider)
    assert "restore-object" in caught.value.hint
    assert judge(caught.value, item(failures=0), CHANCES).ending is Ending.FAILED
    assert gone(root.tmp) == []
