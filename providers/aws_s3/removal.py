"""Batch deletion with a result for each object."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from providers.aws_s3 import objects
from providers.aws_s3.client import S3Client, S3Request
from providers.aws_s3.errors import of_code
from providers.errors import Integrity, ProviderError, Unsupported
from providers.http.connections import Calls

BATCH: Final = 1000


def remove_batch(wire: S3Client, keys: Iterable[str]) -> Mapping[str, ProviderError | None]:
    """The result by whole key: an error, or None for deleted. Keys with no result or with both are left out: their
    state is unknown.

    Raises ProviderError; Unsupported for names that such a request cannot carry, and Integrity if the answer names
    objects that were not in the request: then the whole answer is rejected.
    """
    asked = list(keys)
    if any(not fits_xml(key) for key in asked):
        raise Unsupported("XML cannot carry this name")
    items = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in asked)
    body = f"<Delete><Quiet>false</Quiet>{items}</Delete>".encode()
    md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
    headers = {"content-md5": objects.base64_of(md5), "content-type": "application/xml"}
    request = S3Request("DeleteObjects", "POST", query={"delete": ""}, headers=headers, body=body)
    root = wire.ask(request, Calls()).xml("DeleteResult")
    deleted = {item.findtext("Key") or "" for item in root.iterfind("Deleted")}
    failed = {item.findtext("Key") or "": _failure(item) for item in root.iterfind("Error")}
    unexpected = (deleted | failed.keys()) - set(asked) - {""}
    if unexpected:
        shown = ", ".join(repr(key[:100]) for key in sorted(unexpected)[:3])
        raise Integrity(
            f"the server reports deleting objects that were not in the request: {shown}",
            hint="Check what is still listed before deleting anything else.",
        )
    results: dict[str, ProviderError | None] = dict.fromkeys(deleted) | failed
    return {key: results[key] for key in asked if (key in deleted) != (key in failed)}


def _failure(item: Element) -> ProviderError:
    code, message = (item.findtext("Code") or "")[:100], (item.findtext("Message") or "")[:400]
    return of_code(code)(f"not deleted: {message} ({code})", code=code)


def fits_xml(text: str) -> bool:
    """True if XML 1.0 can carry the text unchanged."""
    return all((char >= " " and char not in "\ufffe\uffff") or char in "\t\n" for char in text)
