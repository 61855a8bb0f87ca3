"""Object size from the listing, for servers where neither HEAD nor GET reports it."""

from __future__ import annotations

from collections.abc import Callable

from providers.contract.storage import Storage
from providers.errors import ProviderError
from providers.http.range import unknown_size


def listed_size(storage: Storage, key: str, is_same: Callable[[str], bool]) -> int:
    """The size of the version whose ETag `is_same`. Not a proof by itself: the caller must see the object end there.
    Raises Unsupported if it is not listed, or listing is not allowed."""
    try:
        page = storage.scan(key, delimiter="/")
    except ProviderError as error:
        if error.retryable:
            raise
        raise unknown_size(key) from error
    for file in page.files:
        if file.key == key and is_same(file.etag):
            return file.size_bytes
    raise unknown_size(key)
