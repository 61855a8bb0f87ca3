"""Ranged reads of a known object; the only place where answers are checked against what is known of it."""

from __future__ import annotations

from collections.abc import Callable

from providers.contract.cancel import CancelToken
from providers.contract.objects import RemoteFile
from providers.contract.storage import RangeReader, Storage
from providers.errors import Integrity


def read(
    provider: Storage,
    remote: RemoteFile,
    offset: int,
    size_bytes: int,
    cancel: CancelToken,
    take: Callable[[bytes], None],
    *,
    takes_whole: bool = False,
) -> None:
    """Pass the bytes [offset, offset + size_bytes) of `remote` to `take` as they arrive. One attempt.

    `takes_whole` is for reading in one stream: a server that ignores ranges starts again from the first byte after a
    break, and the bytes already taken are skipped.

    An empty object is requested too, and must come back empty. Raises ProviderError: Integrity if the service sends
    another object size than it reported before.
    """
    reader = provider.read_range(remote.key, offset, size_bytes, etag=remote.etag)
    reader.takes_whole = takes_whole
    try:
        with cancel.calling(reader.interrupt):
            for chunk in reader:
                cancel.check()
                _refuse_another_size(reader, remote)
                provider.limiter.take(len(chunk), cancel)
                take(chunk)
            _refuse_another_size(reader, remote)
    finally:
        reader.close()


def _refuse_another_size(reader: RangeReader, remote: RemoteFile) -> None:
    if reader.total_bytes is not None and reader.total_bytes != remote.size_bytes:
        raise Integrity(
            f"{remote.key}: the service now reports an object of {reader.total_bytes} bytes, "
            f"but reported {remote.size_bytes} before",
            hint="Check for a proxy or cache in front of the service; nothing from it was used.",
        )


def refuse_contradiction(provider: Storage, remote: RemoteFile, listed_bytes: int | None, cancel: CancelToken) -> None:
    """Raises Integrity if a fresh listing and the object itself report different sizes.

    `listed_bytes` is the size in the earlier listing. If it differs, the object is listed again: it may have changed.
    """
    if listed_bytes is None or listed_bytes == remote.size_bytes:
        return
    page = provider.retry.run(lambda: provider.scan(remote.key, delimiter="/"), cancel)
    listed = next((file for file in page.files if file.key == remote.key), None)
    if listed is not None and listed.size_bytes != remote.size_bytes:
        raise Integrity(
            f"{remote.key}: the listing says {listed.size_bytes} bytes, the object itself {remote.size_bytes}",
            hint="Check for a proxy or cache in front of the service; nothing from it was used.",
        )
