"""Checks of what a service lists against what was requested, before any caller acts on it.

Covers every listing of every service, including plug-ins and classes in the guide's style: `Storage` wraps the
methods of each subclass. A listing that breaks a rule is refused as a whole: a service that lists one wrong key
cannot be trusted about the others.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Protocol

import msgspec

from providers.contract.objects import Page
from providers.contract.upload import PendingUpload
from providers.errors import IncompleteListing, Integrity, ProviderError

MAX_IDLE_PAGES: Final = 1000
"""Limit of empty pages in a row. Services may skip much that does not belong to a listing."""
_MARK: Final = "page:"
_MAX_SHOWN: Final = 200
_PART: Final = (
    "The readable part is shown by list and in the browser, and its files can be fetched by name; nothing that needs "
    "the whole listing is done."
)
INCOMPLETE_HINT: Final = (
    "What is shown exists and can be fetched by name; nothing that needs the whole listing is done. Check for a "
    "proxy in between, or a server update."
)
_HINT: Final = (
    "Nothing was done with it. Check for a proxy in between, or a server update; until then this listing "
    "cannot be used."
)


class _Folding(Protocol):
    """The part of Storage that the checks need."""

    def folded(self, key: str) -> str: ...


class Trail(msgspec.Struct, frozen=True, array_like=True):
    """Progress of a listing, in little space. Brent's method detects a circle: each continuation token is compared with
    one that is kept from time to time."""

    last: str = ""
    kept: str = ""
    power: int = 1
    steps: int = 0
    idle: int = 0
    """Empty pages in a row."""

    def step(self, token: str, *, brought: bool) -> Trail:
        """The trail after a page whose next token is `token`. Raises Integrity for a token seen before, and after too
        many empty pages in a row."""
        mark = _digest(token)
        if mark in (self.last, self.kept):
            raise refused("a listing of the service runs in a circle: a continuation token repeats", "circle")
        idle = 0 if brought else self.idle + 1
        if idle > MAX_IDLE_PAGES:
            raise refused(f"a listing of the service does not end: {idle} empty pages in a row", "endless")
        if self.steps + 1 == self.power:
            return Trail(mark, mark, self.power * 2, 0, idle)
        return Trail(mark, self.kept, self.power, self.steps + 1, idle)


def whole(page: Page, troubles: Sequence[ProviderError]) -> Page:
    """Return the page; raises IncompleteListing if there are `troubles` (errors of entries that are not in it)."""
    if not troubles:
        return page
    first, more = troubles[0], len(troubles) - 1
    and_more = f" (and {more} more of its entries cannot be read)" if more else ""
    why = f"{first.message}{and_more}"
    error = IncompleteListing(why, hint=f"{first.hint} {_PART}".strip(), code=first.code)
    error.page = msgspec.structs.replace(page, unread=why)
    raise error


_PARTS: Final = ContextVar("answers may break off", default=False)


@contextmanager
def parts_are_taken() -> Iterator[None]:
    """Inside, an answer that breaks off is used as far as it came: its listing is an IncompleteListing."""
    before = _PARTS.set(True)
    try:
        yield
    finally:
        _PARTS.reset(before)


def takes_parts() -> bool:
    return _PARTS.get()


def unparsable() -> Integrity:
    """The error for an answer that begins as the requested listing but cannot be parsed to its end."""
    return Integrity(
        "the service's listing cannot be read completely: it is truncated or damaged",
        hint="Check for a proxy in between, or a server update.",
        code="unparsable",
    )


def refused(message: str, code: str) -> Integrity:
    return Integrity(message, hint=_HINT, code=code)


def foreign(key: str, asked: str) -> Integrity:
    """The error for a key outside the requested prefix."""
    below = f"below '{_shown(asked)}'" if asked else "in the requested listing"
    return refused(f"the service lists '{_shown(key)}', which is not {below}", "foreign_key")


def without_base(name: str, base: str) -> str:
    """The key of a listed name; all names of an instance begin with `base`. Raises Integrity."""
    if not name.startswith(base):
        raise foreign(name, base)
    return name[len(base) :]


def guard(cls: type) -> None:
    """Wrap the listing methods of a Storage subclass in these checks."""
    for name, around in (
        ("scan", _scan),
        ("scan_tree", _scan_tree),
        ("pending_uploads", _pending_uploads),
        ("containers", _containers),
    ):
        method = cls.__dict__.get(name)
        if callable(method) and not getattr(method, "__isabstractmethod__", False):
            setattr(cls, name, around(method))


def _scan(scan: Callable[..., Page]) -> Callable[..., Page]:
    @functools.wraps(scan)
    def guarded(
        self: _Folding, prefix: str = "", *, delimiter: str = "", token: str | None = None, limit: int = 1000
    ) -> Page:
        trail, content, raw = _opened(token)
        try:
            page = scan(self, prefix, delimiter=delimiter, token=raw, limit=limit)
        except IncompleteListing as error:
            _check_page(error.page, prefix, delimiter, self.folded)
            error.page = _onward(_with_names(error.page)[0], trail, content)
            raise
        _check_page(page, prefix, delimiter, self.folded)
        named, troubles = _with_names(page)
        return whole(_onward(named, trail, content), troubles)

    return guarded


def _scan_tree(scan_tree: Callable[..., Page]) -> Callable[..., Page]:
    @functools.wraps(scan_tree)
    def guarded(self: _Folding, prefix: str = "", *, token: str | None = None, limit: int = 1000) -> Page:
        trail, content, raw = _opened(token)
        page = scan_tree(self, prefix, token=raw, limit=limit)
        files = msgspec.structs.replace(page, prefixes=())
        _check_page(files, prefix, "", self.folded)
        for folder in page.prefixes:
            if not folder.endswith("/") or not lies_below(folder, self.folded(prefix), self.folded):
                raise foreign(folder, prefix)
        named, troubles = _with_names(page)
        return whole(_onward(named, trail, content), troubles)

    return guarded


def _with_names(page: Page) -> tuple[Page, list[ProviderError]]:
    """The entries with valid names, and the errors of the rest. A lone surrogate is neither text nor a byte of a name:
    no disk, journal or request could hold it."""
    keys = (*(file.key for file in (*page.files, *page.left_out)), *page.prefixes)
    wrong = [key for key in keys if not _is_name(key)]
    if not wrong:
        return page, []
    kept = msgspec.structs.replace(
        page,
        files=tuple(file for file in page.files if _is_name(file.key)),
        left_out=tuple(file for file in page.left_out if _is_name(file.key)),
        prefixes=tuple(key for key in page.prefixes if _is_name(key)),
    )
    return kept, [Integrity(f"the service lists a name that is not text: {_shown(key)!a}") for key in wrong]


def _is_name(key: str) -> bool:
    try:
        key.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _onward(page: Page, trail: Trail, content: str) -> Page:
    """The page, with a token that carries the trail."""
    if page.next_token is None:
        return page
    if not isinstance(page.next_token, str):
        raise refused("the service's continuation token is not text", "token")
    onward = trail.step(page.next_token, brought=bool(page.files or page.prefixes or page.left_out))
    own = _digest("\0".join(file.key for file in page.files)) if page.files else ""
    if own and own == content:
        raise refused("a listing of the service runs in a circle: the same files repeat", "circle")
    if onward.kept == onward.last:
        content = own
    return msgspec.structs.replace(page, next_token=_closed(onward, content, page.next_token))


def _closed(trail: Trail, content: str, raw: str) -> str:
    return _MARK + msgspec.json.encode((trail, content, raw.encode("utf-8", "surrogatepass").hex())).decode()


def _opened(token: str | None) -> tuple[Trail, str, str | None]:
    """The trail, a digest of the files kept for comparison, and the service's own token."""
    if token is None or not token.startswith(_MARK):
        return Trail(), "", token
    try:
        trail, content, raw = msgspec.json.decode(token[len(_MARK) :], type=tuple[Trail, str, str])
        return trail, content, bytes.fromhex(raw).decode("utf-8", "surrogatepass")
    except (msgspec.DecodeError, ValueError):
        return Trail(), "", token


def _check_page(page: Page, prefix: str, delimiter: str, fold: Callable[[str], str]) -> None:
    asked = fold(prefix)
    for file in (*page.files, *page.left_out):
        if not lies_below(file.key, asked, fold):
            raise foreign(file.key, prefix)
        if delimiter and delimiter in fold(file.key)[len(asked) : -len(delimiter)]:
            raise refused(f"the service lists '{_shown(file.key)}' as a file of its parent folder", "not_folded")
    for folder in page.prefixes:
        if not lies_below(folder, asked, fold):
            raise foreign(folder, prefix)
        rest = fold(folder)[len(asked) :]
        if not delimiter or not rest or rest.find(delimiter) != len(rest) - len(delimiter):
            raise refused(f"the service lists '{_shown(folder)}' as a folder, but it is none", "no_folder")


def lies_below(key: object, asked: str, fold: Callable[[str], str]) -> bool:
    """Whether a key begins with the folded prefix `asked`, by the service's own rule of equality."""
    return isinstance(key, str) and key != "" and fold(key).startswith(asked)


def _pending_uploads(pending_uploads: Callable[..., list[PendingUpload]]) -> Callable[..., list[PendingUpload]]:
    @functools.wraps(pending_uploads)
    def guarded(self: _Folding, key: str) -> list[PendingUpload]:
        found = pending_uploads(self, key)
        for pending in found:
            if self.folded(pending.key) != self.folded(key):
                raise foreign(pending.key, key)
        return found

    return guarded


def _containers(containers: Callable[..., list[str]]) -> Callable[..., list[str]]:
    @functools.wraps(containers)
    def guarded(self: _Folding) -> list[str]:
        found = containers(self)
        for name in found:
            if not isinstance(name, str) or not name or "/" in name or "\0" in name:
                raise refused(f"the service lists a container without a usable name: '{_shown(str(name))}'", "name")
        return found

    return guarded


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _shown(text: Any) -> str:
    return str(text)[:_MAX_SHOWN]
