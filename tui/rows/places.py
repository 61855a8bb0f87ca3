"""The places that a browser pane can show: a folder of this machine, or a prefix of an instance."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from backup.queries.questions import ListPage
from tui.bridge import Bridge
from tui.rows.files import FileRow, local_entries, remote_entries
from tui.text import safe

PAGE_ENTRIES = 1000


class Load(NamedTuple):
    entries: list[FileRow]
    next_token: str | None
    left_out: int = 0
    """The number of further entries that are no objects."""
    unread: str = ""
    """The reason why entries are missing."""


class BrowsePlace(Protocol):
    @property
    def owner(self) -> str:
        """For the border: 'this machine', or the name of the instance."""

    @property
    def where(self) -> str:
        """The path or prefix, escaped."""

    @property
    def parent(self) -> BrowsePlace | None: ...

    @property
    def name_in_parent(self) -> str:
        """The name under which the parent lists it."""

    def child(self, entry: FileRow) -> BrowsePlace: ...

    def typed(self, text: str) -> BrowsePlace:
        """The place that the user typed, relative to this one."""

    @property
    def text(self) -> str:
        """The text to start with when the user types a place."""

    async def load(self, bridge: Bridge, token: str | None) -> Load:
        """One page. Raises ProviderError."""


def home_folder() -> Path:
    """The folder in which the left pane opens; the root folder for a user without a home folder."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")


@dataclass(frozen=True)
class LocalPlace:
    path: Path

    @property
    def owner(self) -> str:
        return "this machine"

    @property
    def where(self) -> str:
        return safe(str(self.path))

    @property
    def folder(self) -> str:
        """The target of a download. It ends with a slash, so that it means a folder even if it is deleted meanwhile."""
        return os.path.join(self.path, "")

    @property
    def parent(self) -> LocalPlace | None:
        return LocalPlace(self.path.parent) if self.path.parent != self.path else None

    @property
    def name_in_parent(self) -> str:
        return f"{self.path.name}/"

    @property
    def text(self) -> str:
        return str(self.path)

    def child(self, entry: FileRow) -> LocalPlace:
        return LocalPlace(self.path / entry.name.rstrip("/"))

    def typed(self, text: str) -> LocalPlace:
        return LocalPlace(Path(os.path.normpath(self.path / os.path.expanduser(text))))

    def paths(self, entries: list[FileRow]) -> list[Path]:
        return [self.path / entry.name.rstrip("/") for entry in entries]

    async def load(self, bridge: Bridge, token: str | None) -> Load:
        found = await bridge.call(bridge.core.list_local, self.path)
        return Load(await bridge.call(local_entries, found), None)


@dataclass(frozen=True)
class RemotePlace:
    """`prefix` is a folder if it is empty or ends with '/'; otherwise a search for all keys that begin with it."""

    instance: str
    container: str = ""
    prefix: str = ""

    @property
    def owner(self) -> str:
        return safe(self.instance)

    @property
    def where(self) -> str:
        container = safe(self.container)
        shown = safe(self.prefix.rstrip("/"))
        search = "…" if self.prefix and not self.prefix.endswith("/") else ""
        return f"{container} / {shown}{search}" if container and shown else (container or shown or "/") + search

    @property
    def folder(self) -> str:
        """The prefix up to its last '/'."""
        return self.prefix[: self.prefix.rfind("/") + 1]

    @property
    def parent(self) -> RemotePlace | None:
        if not self.prefix:
            return None
        above = self.folder if self.folder != self.prefix else self.prefix[: self.prefix.rfind("/", 0, -1) + 1]
        return RemotePlace(self.instance, self.container, above)

    @property
    def name_in_parent(self) -> str:
        return self.prefix[len(self.parent.prefix) :] if self.parent else ""

    @property
    def text(self) -> str:
        return self.prefix

    def child(self, entry: FileRow) -> RemotePlace:
        return RemotePlace(self.instance, self.container, self.folder + entry.name)

    def typed(self, text: str) -> RemotePlace:
        return RemotePlace(self.instance, self.container, text.removeprefix("/"))

    def keys(self, entries: list[FileRow]) -> list[str]:
        return [self.folder + entry.name for entry in entries]

    async def load(self, bridge: Bridge, token: str | None) -> Load:
        page = await bridge.ask(ListPage(self.instance, self.prefix, token=token, limit=PAGE_ENTRIES))
        return Load(remote_entries(page, self.folder), page.next_token, len(page.left_out), page.unread)
