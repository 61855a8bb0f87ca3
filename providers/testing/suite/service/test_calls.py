"""Requests cost money and time: exact counts per file for each service."""

from __future__ import annotations

from collections import Counter

from providers.contract.cancel import CancelToken
from providers.contract.context import ProviderContext
from providers.engine.upload import run_upload
from providers.testing.harness import Harness, Root
from providers.testing.needs import WIRED
from providers.testing.support import content, source

PARTS = 3


@WIRED
def test_the_counted_requests_are_those_the_server_received(harness: Harness, root: Root) -> None:
    counts: Counter[str] = Counter()
    provider = root.ready(context=ProviderContext(count_call=lambda kind: counts.update([kind])))
    counts.clear()
    for size in (1000, PARTS * harness.limits.part_bytes):
        run_upload(provider, source(root.tmp, content(size)), f"f{size}", cancel=CancelToken())
    provider.download("f1000", root.tmp / "back")
    assert {file["name"] for file in provider.list_files()} == {"f1000", f"f{PARTS * harness.limits.part_bytes}"}
    provider.remove("f1000")
    root.wired.wait_idle()
    assert sum(counts.values()) == root.wired.count()
