"""Reading part of an object that was looked at: the one place where an answer is held against what is believed."""

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
    """Give the bytes [offset, offset + size_bytes) of `remote` to `take`, as they arrive. One try.

    `takes_whole` is for reading in one stream: a server that ignores ranges begins again from the first byte after a
    break, and what was there already is passed over.

    An empty object is asked for too, and has to come back empty. Raises ProviderError: Integrity when the service says
    with the bytes that the object is not as long as it was when it was looked at.
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
            f"{remote.key}: the service sends from an object of {reader.total_bytes} bytes, "
            f"and said before that it has {remote.size_bytes}",
            hint="Look for a proxy or cache in front of the service; nothing was believed of it.",
        )


def refuse_contradiction(provider: Storage, remote: RemoteFile, listed_bytes: int | None, cancel: CancelToken) -> None:
    """Raises Integrity when the listing goes on to tell another size than the object itself does.

    `listed_bytes` is what the listing told when it was read; an object that has changed since is listed again.
    """
    if listed_bytes is None or listed_bytes == remote.size_bytes:
        return
    page = provider.retry.run(lambda: provider.scan(remote.key, delimiter="/"), cancel)
    listed = next((file for file in page.files if file.key == remote.key), None)
    if listed is not None and listed.size_bytes != remote.size_bytes:
        raise Integrity(
            f"{remote.key}: the listing says {listed.size_bytes} bytes, the object itself {remote.size_bytes}",
            hint="Look for a proxy or cache in front of the service; nothing was believed of it.",
        )
