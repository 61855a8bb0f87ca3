"""Digests computed during an upload, and the end of an abandoned hasher."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.contract.cancel import CancelToken
from providers.contract.digests import AheadHasher, HasherAtOnce, LocalDigests

CONTENT = bytes(range(250)) * 4


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def test_a_file_of_one_part_has_the_digests_of_its_part(file: int) -> None:
    with HasherAtOnce(file, len(CONTENT), ("md5", "sha1"), CancelToken()) as hasher:
        assert hasher.part(0) == {
            "md5": hashlib.md5(CONTENT).hexdigest(), "sha1": hashlib.sha1(CONTENT).hexdigest()
        }  # fmt: skip
        assert hasher.finish().sha256 == hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.timeout(20)
def test_an_abandoned_hasher_ends(file: int) -> None:
    """It waits for parts to be sent, which no longer happens."""
    with AheadHasher(file, [100] * 10, ("md5",), CancelToken(), lead_parts=1) as hasher:
        assert hasher.part(0) == {"md5": hashlib.md5(CONTENT[:100]).hexdigest()}
    assert not [thread for thread in threading.enumerate() if thread.name == "hasher"]


@pytest.mark.timeout(20)
def test_a_hasher_runs_ahead_no_further_than_allowed(file: int) -> None:
    asked: list[int] = []
    second = threading.Event()

    def wait_for_part(index: int) -> None:
        asked.append(index)
        if index == 2:
            second.set()

    sizes = [250] * 4
    with AheadHasher(file, sizes, (), CancelToken(), lead_parts=2, wait_for_part=wait_for_part) as hasher:
        hasher.part(1)
        assert asked == [0, 1]
        hasher.release()
        assert second.wait(10)
        assert asked == [0, 1, 2]


@pytest.mark.parametrize(
    "parts", [(), ({"md5": "0" * 32}, {}), ({}, {"md5": "0" * 32})], ids=["no part", "second lacks", "first lacks"]
)
def test_a_missing_part_digest_gives_no_composite(parts: tuple[dict[str, str], ...]) -> None:
    assert LocalDigests(10, {"sha256": "0" * 64}, parts).value("md5-composite") is None
