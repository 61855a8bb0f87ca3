"""A worker moves a hundred thousand files: none may leave a descriptor open, however its transfer ends."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from providers.contract.cancel import CancelToken
from providers.contract.context import ProviderContext
from providers.contract.download import SavedDownload
from providers.contract.upload import SavedUpload
from providers.engine.download import run_download
from providers.engine.upload import run_upload
from providers.errors import Integrity, NotFound, PermissionDenied, ProviderError
from tests.providers.memory import KeptCheckpoint, MemoryProvider, MemoryStore, failing

PART = 64 * 1024
"""Seventeen parts are more than is hashed at once."""
ENDINGS: list[ProviderError | None] = [None, PermissionDenied("revoked"), Integrity("other bytes"), NotFound("gone")]


def open_descriptors() -> int:
    """Compare with `<=`: leftovers of an earlier test may be garbage-collected meanwhile."""
    return len(os.listdir("/proc/self/fd"))


def connect(store: MemoryStore) -> MemoryProvider:
    context = ProviderContext(sleep=lambda seconds, cancel: None)
    return MemoryProvider(store, context=context, upload_chunk_size=PART, connection_pool_size=3)


@pytest.mark.few(2)
@pytest.mark.parametrize("parts", [1, 17])
@pytest.mark.parametrize("error", ENDINGS, ids=repr)
@pytest.mark.parametrize("resumable", [True, False])
def test_a_download_closes_its_descriptors(
    tmp_path: Path, parts: int, error: ProviderError | None, resumable: bool
) -> None:
    store = MemoryStore()
    store.objects["k"] = os.urandom(parts * PART)
    if error:
        store.trouble = failing("read", error, times=99)
    checkpoint = KeptCheckpoint(SavedDownload) if resumable else None
    before = open_descriptors()
    _ended(error, lambda: run_download(
        connect(store), "k", tmp_path / "out", cancel=CancelToken(), checkpoint=checkpoint, beneath=tmp_path
    ))  # fmt: skip
    assert open_descriptors() <= before


@pytest.mark.parametrize("parts", [1, 17])
@pytest.mark.parametrize("error", ENDINGS, ids=repr)
@pytest.mark.parametrize("resumable", [True, False])
def test_an_upload_closes_its_descriptors(
    tmp_path: Path, parts: int, error: ProviderError | None, resumable: bool
) -> None:
    store = MemoryStore()
    (tmp_path / "file").write_bytes(os.urandom(parts * PART))
    if error:
        store.trouble = failing("send", error, times=99)
    checkpoint = KeptCheckpoint(SavedUpload) if resumable else None
    before = open_descriptors()
    _ended(error, lambda: run_upload(
        connect(store), tmp_path / "file", "k", cancel=CancelToken(), checkpoint=checkpoint, beneath=tmp_path
    ))  # fmt: skip
    assert open_descriptors() <= before


def _ended(error: ProviderError | None, call: Any) -> None:
    if error is None:
        call()
        return
    with pytest.raises(type(error)):
        call()
