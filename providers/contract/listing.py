"""What a service lists is compared with what was asked, before anybody acts on it.

Every listing of every service passes through here, also those of classes in the guide's style and of plug-ins:
`Storage` wraps what a subclass defines. A listing that breaks a rule is refused as a whole, since a service that
lists one key too many cannot be believed about the others.
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
"""So many pages in a row may bring nothing: services look through much that does not belong to a listing."""
_MARK: Final = "page:"
_MAX_SHOWN: Final = 200
_PART: Final = (
    "What can be read of it is shown by list and in the browser, and can be fetched by its own name; nothing is done "
    "that needs all of it."
)
INCOMPLETE_HINT: Final = (
    "What is shown is there, and can be fetched by its own name; nothing is done that needs all of it. Look for a "
    "proxy in between, or for an update of the server."
)
_HINT: Final = (
    "Nothing was done with it. Look for a proxy in between, or for an update of the server; until then this listing "
    "cannot be used."
)


class _Folding(Protocol):
    """A Storage, as far as its listings are compared."""

    def folded(self, key: str) -> str: ...


class Trail(msgspec.Struct, frozen=True, array_like=True):
    """How far a listing has come, in little room: whether it runs in a circle is found by Brent's method, which
    compares each continuation token with one that is kept from time to time."""

    last: str = ""
    kept: str = ""
    power: int = 1
    steps: int = 0
    idle: int = 0
    """Pages in a row that brought nothing."""

    def step(self, token: str, *, brought: bool) -> Trail:
        """After a page that names `token` for the next one. Raises Integrity for a token that was there before, and
        when page after page brings nothing."""
        mark = _digest(token)
        if mark in (self.last, self.kept):
            raise refused("a listing of the service runs in a circle: its continuation token comes back", "circle")
        idle = 0 if brought else self.idle + 1
        if idle > MAX_IDLE_PAGES:
            raise refused(f"a listing of the service does not end: {idle} pages in a row brought nothing", "endless")
        if self.steps + 1 == self.power:
            return Trail(mark, mark, self.power * 2, 0, idle)
        return Trail(mark, self.kept, self.power, self.steps + 1, idle)


def whole(page: Page, troubles: Sequence[ProviderError]) -> Page:
    """The page. Raises IncompleteListing where there are `troubles`: what is wrong with entries that are not in it."""
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
    """Within it an answer that breaks off is taken as far as it came: a listing of it is an IncompleteListing."""
    before = _PARTS.set(True)
    try:
        yield
    finally:
        _PARTS.reset(before)


def takes_parts() -> bool:
    return _PARTS.get()


def unparsable() -> Integrity:
    """For an answer that begins as the listing that was asked for, and cannot be parsed to its end."""
    return Integrity(
        "the service's listing cannot be read whole: it breaks off, or something in it is damaged",
        hint="Look for a proxy in between, or for an update of the server.",
        code="unparsable",
    )


def refused(message: str, code: str) -> Integrity:
    return Integrity(message, hint=_HINT, code=code)


def foreign(key: str, asked: str) -> Integrity:
    """For a key that does not lie below what was asked for."""
    below = f"below '{_shown(asked)}'" if asked else "in what was asked for"
    return refused(f"the service lists '{_shown(key)}', which is not {below}", "foreign_key")


def without_base(name: str, base: str) -> str:
    """The key in a name that the service lists, where all names of an instance begin with `base`. Raises Integrity."""
    if not name.startswith(base):
        raise foreign(name, base)
    return name[len(base) :]


def guard(cls: type) -> None:
    """Put the checks around what a subclass of Storage lists."""
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
    """What has a name that can be one, and what is wrong with the rest: half of a surrogate pair is neither text nor a
    byte of a name, so no disk, journal or request could hold it."""
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
    return kept, [Integrity(f"the service lists a name that is no text: {_shown(key)!a}") for key in wrong]


def _is_name(key: str) -> bool:
    try:
        key.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _onward(page: Page, trail: Trail, content: str) -> Page:
    """The page, its token one that carries how far the listing has come."""
    if page.next_token is None:
        return page
    if not isinstance(page.next_token, str):
        raise refused("the service's continuation token is not a text", "token")
    onward = trail.step(page.next_token, brought=bool(page.files or page.prefixes or page.left_out))
    own = _digest("\0".join(file.key for file in page.files)) if page.files else ""
    if own and own == content:
        raise refused("a listing of the service runs in a circle: the same files come again", "circle")
    if onward.kept == onward.last:
        content = own
    return msgspec.structs.replace(page, next_token=_closed(onward, content, page.next_token))


def _closed(trail: Trail, content: str, raw: str) -> str:
    return _MARK + msgspec.json.encode((trail, content, raw.encode("utf-8", "surrogateescape").hex())).decode()


def _opened(token: str | None) -> tuple[Trail, str, str | None]:
    """The trail, a digest of the files that are kept for comparison, and the service's own token."""
    if token is None or not token.startswith(_MARK):
        return Trail(), "", token
    try:
        trail, content, raw = msgspec.json.decode(token[len(_MARK) :], type=tuple[Trail, str, str])
        return trail, content, bytes.fromhex(raw).decode("utf-8", "surrogateescape")
    except (msgspec.DecodeError, ValueError):
        return Trail(), "", token


def _check_page(page: Page, prefix: str, delimiter: str, fold: Callable[[str], str]) -> None:
    asked = fold(prefix)
    for file in (*page.files, *page.left_out):
        if not lies_below(file.key, asked, fold):
            raise foreign(file.key, prefix)
        if delimiter and delimiter in fold(file.key)[len(asked) : -len(delimiter)]:
            raise refused(f"the service lists '{_shown(file.key)}' among the files of the folder above", "not_folded")
    for folder in page.prefixes:
        if not lies_below(folder, asked, fold):
            raise foreign(folder, prefix)
        rest = fold(folder)[len(asked) :]
        if not delimiter or not rest or rest.find(delimiter) != len(rest) - len(delimiter):
            raise refused(f"the service lists '{_shown(folder)}' as a folder, which it is not here", "no_folder")


def lies_below(key: object, asked: str, fold: Callable[[str], str]) -> bool:
    """Whether a key begins with a prefix, which is folded already, by the service's own rule of equality."""
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
