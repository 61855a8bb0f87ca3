"""Requests cost money and time: exact counts per file for each service."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from providers import registry
from providers.contract.cancel import CancelToken
from providers.contract.context import ProviderContext
from providers.engine.upload import run_upload
from providers.testing.needs import WIRED
from providers.testing.suite.service.test_calls import *  # noqa: F403
from providers.testing.suite.service.test_calls import PARTS
from providers.testing.support import content, source

FILES = 12
SMALL = {
    "aws_s3": {"PutObject": 1},
    "backblaze": {"b2_upload_file": 1},
    "dropbox": {"files/get_metadata": 1, "files/upload": 1},
    "google_drive": {"files.list": 2, "files.create": 1},
}
"""After the first file, for a file sent in one request whose name is known to be free. Dropbox is asked for a name in
other capitals, Drive before and after for another file of that name; both are free of charge."""
IN_PARTS = {
    "aws_s3": {
        "ListMultipartUploads": 1,
        "CreateMultipartUpload": 1,
        "UploadPart": PARTS,
        "CompleteMultipartUpload": 1,
    },
    "backblaze": {
        "b2_list_unfinished_large_files": 1,
        "b2_start_large_file": 1,
        "b2_get_upload_part_url": 1,
        "b2_upload_part": PARTS,
        "b2_finish_large_file": 1,
    },
    "dropbox": {
        "files/get_metadata": 1,
        "files/upload_session/start": 1,
        "files/upload_session/append_v2": PARTS,
        "files/upload_session/finish": 1,
    },
    "google_drive": {"files.list": 2, "files.create": 1, "resumable upload": PARTS + 1},
}
"""For a file of three parts over one connection. The first request looks for an upload that an earlier process began.
Drive sends the end of a file separately, because it makes the file visible."""


def test_every_service_has_its_counts():
    assert SMALL.keys() == IN_PARTS.keys() == set(registry.EMBEDDED) - {"local"}


@WIRED
@pytest.mark.parametrize("connections", [1, 3])
def test_small_files_cost_exactly_the_requests_they_need(harness, root, connections):
    counts: Counter[str] = Counter()
    provider = root.ready(context=ProviderContext(count_call=lambda kind: counts.update([kind])))
    path = source(root.tmp, content(1000))
    run_upload(provider, path, "first", cancel=CancelToken(), replaces=False)
    counts.clear()

    def send(number: int) -> None:
        run_upload(provider, path, f"f{number}", cancel=CancelToken(), replaces=False)

    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(send, range(FILES)))
    assert counts.pop("b2_get_upload_url", 0) <= connections  # one per connection, not one per file
    assert counts == {kind: count * FILES for kind, count in SMALL[harness.service].items()}


@WIRED
def test_a_file_in_parts_costs_one_request_per_part_and_few_more(harness, root):
    counts: Counter[str] = Counter()
    provider = root.ready(
        context=ProviderContext(count_call=lambda kind: counts.update([kind])), connection_pool_size=1
    )
    run_upload(provider, source(root.tmp, b"1"), "first", cancel=CancelToken(), replaces=False)
    path = source(root.tmp, content(PARTS * harness.limits.part_bytes))
    counts.clear()
    run_upload(provider, path, "large", cancel=CancelToken(), replaces=False)
    assert counts == IN_PARTS[harness.service]
