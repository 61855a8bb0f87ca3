"""Repair of XML listings that are malformed because the server did not encode a key with forbidden characters.

One such key must not hide its folder: its characters are read as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Final
from xml.etree import ElementTree
from xml.sax.saxutils import unescape

_ROOT: Final = re.compile(
    rb"(?>\xef\xbb\xbf|\s+|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*(?:\[[^\]]*\]\s*)?>)*+"
    rb"<(?:[A-Za-z0-9_.-]{1,20}:)?([A-Za-z]{1,60})\b",
    re.DOTALL,
)
_ROOTS: Final = frozenset(
    {"ListBucketResult", "ListMultipartUploadsResult", "ListPartsResult", "DeleteResult", "Error"}
    | {"InitiateMultipartUploadResult", "InitiateMultipartUpload", "CompleteMultipartUploadResult"}
)
"""Root elements of answers that contain keys."""
_FORBIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\udc80-\udcff\ufffe\uffff]")
_REFERENCE: Final = re.compile("&#(?:x([0-9a-fA-F]{1,6})|([0-9]{1,7}));")
_NAME: Final = re.compile("<(Key|Prefix|NextKeyMarker|KeyMarker)>")
"""The text between these tags is a name; a '<' in it is part of the name."""
_BETWEEN: Final = re.compile(r"</(Contents|CommonPrefixes)>\s*<\1>")
"""No name spans the end of one entry and the start of the next."""
_ENTRY: Final = re.compile(rb"<(Contents|CommonPrefixes)>")
_ENTRY_WHOLE: Final = re.compile(rb"<(Contents|CommonPrefixes)>.*?(?:</\1>|\Z)", re.DOTALL)
_LONE: Final = re.compile("&(?!(?:amp|lt|gt|quot|apos|#[0-9]+|#x[0-9a-fA-F]+);)")
_STAND_IN: Final = 0xF0000
"""Plane 15 is for private use, so names do not contain it. A stand-in is the character moved to that plane."""
_MOVED: Final = re.compile("[\U000f0000-\U000fffff]")


def begins_as(body: bytes, root: str) -> bool:
    """Whether a body, well-formed or not, has this root element."""
    found = _ROOT.match(body)
    return found is not None and found[1].decode("ascii") == root


def parsed(body: bytes) -> ElementTree.Element | None:
    """The root of a malformed S3 answer, without namespaces; None if it cannot be repaired."""
    if not any(begins_as(body, root) for root in _ROOTS):
        return None
    text = body.decode("utf-8", "surrogateescape")
    if _MOVED.search(text):
        return None
    text = _FORBIDDEN.sub(lambda found: _moved(ord(found[0])), _REFERENCE.sub(_referred, text))
    try:
        root = ElementTree.fromstring(_with_names_as_text(_LONE.sub("&amp;", text)))
    except (ElementTree.ParseError, ValueError):
        return None
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        if element.text:
            element.text = _MOVED.sub(lambda found: chr(ord(found[0]) - _STAND_IN), element.text)
    return root


def readable(body: bytes, root: str, parse: Callable[[bytes], ElementTree.Element | None]) -> ElementTree.Element:
    """Of a listing that cannot be parsed: those entries that can be, each for itself, and what names the next page."""
    found = ElementTree.Element(root)
    name = root.encode()
    begins = list(_ENTRY.finditer(body))
    starts = [*(begin.start() for begin in begins), len(body)]
    for begin, following in zip(begins, starts[1:], strict=True):
        close = b"</%b>" % begin[1]
        end = body.find(close, begin.end(), following)
        if end >= 0:
            entry = parse(b"<%b>%b%b</%b>" % (name, body[begin.start() : end], close, name))
            found.extend(entry if entry is not None else ())
    around = _ENTRY_WHOLE.sub(b"", body)
    for name in (b"IsTruncated", b"NextContinuationToken", b"EncodingType"):
        if field := re.search(b"<%b>([^<]*)</%b>" % (name, name), around):
            ElementTree.SubElement(found, name.decode()).text = unescape(field[1].decode("utf-8", "replace"))
    return found


def _with_names_as_text(text: str) -> str:
    """The text with escaped names. Takes linear time, whatever a server sends."""
    bounds = [0, *(found.start() for found in _BETWEEN.finditer(text)), len(text)]
    return "".join(_as_text(text[start:end]) for start, end in pairwise(bounds))


def _as_text(piece: str) -> str:
    done: list[str] = []
    position = 0
    unclosed: set[str] = set()
    for found in _NAME.finditer(piece):
        if found.start() < position or found[1] in unclosed:
            continue
        end = piece.find(f"</{found[1]}>", found.end())
        if end < 0:
            unclosed.add(found[1])
            continue
        name = piece[found.end() : end].replace("<", "&lt;").replace(">", "&gt;")
        done += [piece[position : found.end()], name]
        position = end
    return "".join([*done, piece[position:]])


def _moved(code: int) -> str:
    return chr(_STAND_IN + code)


def _referred(found: re.Match[str]) -> str:
    """A stand-in for a reference to a character that XML forbids; other references unchanged."""
    code = int(found[1], 16) if found[1] else int(found[2])
    return _moved(code) if code <= 0xFFFF and (_FORBIDDEN.match(chr(code)) or 0xD800 <= code < 0xE000) else found[0]
