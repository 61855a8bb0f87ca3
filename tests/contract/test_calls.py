"""Requests cost money: how many a file needs, and not one more."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from providers.cancel import CancelToken
from providers.context import ProviderContext
from providers.upload_loop import run_upload
from tests.contract.harness import only
from tests.contract.harnesses import HARNESSES
from tests.contract.support import content, source

FILES = 12


@only(HARNESSES, lambda harness: harness.name in {"moto", "rclone", "backblaze"})
@pytest.mark.parametrize("connections", [1, 3])
def test_small_files_cost_one_request_each(harness, root, connections):
    counts: Counter[str] = Counter()
    provider = root.ready(context=ProviderContext(count_call=lambda kind: counts.update([kind])))
    path = source(root.tmp, content(1000))
    counts.clear()

    def send(number: int) -> None:
        run_upload(provider, path, f"f/{number}", cancel=CancelToken(), replaces=False)

    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(send, range(FILES)))
    if harness.service == "backblaze":
        assert counts.pop("b2_get_upload_url", 0) <= connections  # one a connection, not one a file
    assert sum(counts.values()) == FILES, counts
    assert len(counts) == 1


PARTS = 3
AROUND = {
    "aws_s3": {"ListMultipartUploads", "CreateMultipartUpload", "CompleteMultipartUpload"},
    "backblaze": {
        "b2_list_unfinished_large_files",
        "b2_start_large_file",
        "b2_get_upload_part_url",
        "b2_finish_large_file",
    },
}
"""Once a file each; the first looks for what an earlier process may have begun."""
PART = {"aws_s3": "UploadPart", "backblaze": "b2_upload_part"}


@only(HARNESSES, lambda harness: harness.name in {"moto", "backblaze"})
def test_a_file_in_parts_costs_one_request_a_part_and_few_around(harness, root):
    counts: Counter[str] = Counter()
    provider = root.ready(
        context=ProviderContext(count_call=lambda kind: counts.update([kind])), connection_pool_size=1
    )
    path = source(root.tmp, content(PARTS * harness.limits.part_bytes))
    counts.clear()
    run_upload(provider, path, "large", cancel=CancelToken(), replaces=False)
    once = counts.copy()
    assert once.pop(PART[harness.service]) == PARTS
    assert set(once) <= AROUND[harness.service] | {"HeadObject"}
    assert set(once.values()) == {1}, counts
