"""How long an object is where neither its HEAD nor a GET says it: then its listing is asked."""

from __future__ import annotations

from collections.abc import Callable

from providers.contract.storage import Storage
from providers.errors import ProviderError
from providers.http.range import unknown_size


def listed_size(storage: Storage, key: str, is_same: Callable[[str], bool]) -> int:
    """The size of just the version whose ETag `is_same`. It proves nothing by itself: whoever fetches the object has
    to see it end there. Raises Unsupported where it is not listed, or may not be."""
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
