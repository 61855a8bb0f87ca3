"""How long an object is where HEAD does not say it, and how long its parts are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from providers.aws_s3 import etags
from providers.aws_s3.client import Request, Wire
from providers.contract.objects import RemoteFile
from providers.errors import Conflict, ProviderError
from providers.http.connections import Calls
from providers.http.range import FIRST_BYTE, content_length, whole_size
from providers.http.request import Answer

WITH_CHECKSUMS: Final = {"x-amz-checksum-mode": "ENABLED"}


def size_of(wire: Wire, whole: str, key: str, head: Mapping[str, str]) -> int | None:
    """By the HEAD; where a proxy has dropped the length from it, by the answer to a GET: the total behind a range of
    one byte, or a length. None where none of them tells it.

    Raises Conflict when another object stands there by then.
    """
    told = content_length(head)
    if told is not None:
        return told
    answer = _asked(wire, whole, key, head, {"range": FIRST_BYTE})
    size_bytes = whole_size(answer.status, answer.headers)
    if size_bytes is None:  # moto refuses that range of an empty object without a word about its size
        size_bytes = content_length(_asked(wire, whole, key, head, {}).headers)
    return size_bytes


def _asked(wire: Wire, whole: str, key: str, head: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
    """The head of the answer to a GET, whose body is broken off."""
    accepts = frozenset({416}) if headers else frozenset()
    answer = wire.open(Request("GetObject", "GET", whole, headers=headers, accepts=accepts), Calls())
    answer.close()
    if not etags.may_be_same(answer.headers.get("etag", ""), head.get("etag", "")):
        raise Conflict(f"{key}: changed while it was looked at")
    return answer


def part_size_of(wire: Wire, whole: str, found: RemoteFile) -> int | None:
    """Length of the first part; None where the server does not tell (it then answers for the whole object)."""
    if any(value.endswith("-1") for value in found.checksums.values()):
        return found.size_bytes
    request = Request("HeadObject", "HEAD", whole, query={"partNumber": "1"}, headers=WITH_CHECKSUMS)
    try:
        size_bytes = content_length(wire.ask(request, Calls()).headers)
    except ProviderError as error:
        if error.retryable:
            raise
        return None
    return size_bytes if size_bytes and size_bytes < found.size_bytes else None
