"""The findings of a plan, kept on disk for the scan of its job, so that nothing is walked or listed twice.

Each plan has a file in the state folder: lines of JSON, first the scope, then batches of findings. A plan that is not
queued within an hour is outdated, and deleted.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from backup.files.scan import BATCH, TreeEntry, batches
from backup.journal.records import Destination, JobRequest
from backup.model.transfers import JobKind, Selection
from backup.system.packing import pack, unpack
from backup.system.paths import Paths
from backup.system.private_files import private_folder
from providers.contract.objects import RemoteFile

_LOG: Final = logging.getLogger(__name__)
_FRESH_S: Final = 3600.0
_PLANNED, _QUEUED = ".planned", ".queued"
_TOKEN: Final = re.compile(r"[0-9a-f]{32}\Z")


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One finding of a plan: an entry of a local tree, or an object."""

    source: str
    """The chosen path or key that it belongs to."""
    local: TreeEntry | None = None
    replaces: bool | None = None
    """True if something exists where it would go; None if unknown."""
    remote: RemoteFile | None = None


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """The request and place of a plan. Its findings serve only a job with the same scope."""

    kind: JobKind
    place: tuple[str, str, str, str]
    sources: tuple[str, ...]
    to: str = ""
    selection: Selection = Selection()

    @classmethod
    def of(cls, order: JobRequest, place: Destination) -> Scope:
        where = (place.instance, place.type, place.container, place.settings)
        to = order.to if order.kind is JobKind.UPLOAD else ""  # for other kinds, `to` was not looked at
        return cls(kind=order.kind, place=where, sources=order.sources, to=to, selection=order.selection)


class Findings:
    """The findings of all plans of a state folder. Any process may use it."""

    def __init__(self, paths: Paths) -> None:
        self._folder = paths.plans_dir

    def keep(self, scope: Scope, found: Iterable[Finding]) -> str:
        """Write the findings and return their token. Empty if they cannot be written: the scan then looks again."""
        token = secrets.token_hex(16)
        target = self._folder / f"{token}{_PLANNED}"
        temporary = target.with_suffix(".new")
        try:
            private_folder(self._folder)
            self._prune(_FRESH_S)
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(pack(scope) + b"\n")
                for batch in batches(found, BATCH):
                    file.write(pack(batch) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(target)
        except OSError as error:
            _LOG.warning("what a plan found cannot be kept: %s", error)
            _remove(temporary)
            return ""
        except BaseException:  # the search broke off
            _remove(temporary)
            raise
        return token

    def claim(self, token: str) -> bool:
        """Keep the findings until `drop`, for a job about to be queued. False if they are too old, or gone."""
        if not _TOKEN.match(token):
            return False
        planned = self._folder / f"{token}{_PLANNED}"
        try:
            if time.time() - planned.stat().st_mtime > _FRESH_S:
                return False
            planned.rename(self._folder / f"{token}{_QUEUED}")
        except OSError:
            return False
        return True

    def load(self, token: str, scope: Scope) -> Iterator[list[Finding]] | None:
        """The claimed findings, in batches; None if there are none, or their scope differs. The iterator raises
        ValueError or OSError if it cannot read them to the end."""
        if not _TOKEN.match(token):
            return None
        path = self._folder / f"{token}{_QUEUED}"
        try:
            with path.open("rb") as file:
                same = unpack(file.readline(), Scope) == scope
        except (OSError, ValueError):
            return None
        return _read(path) if same else None

    def drop(self, token: str) -> None:
        """Delete claimed findings, after the scan."""
        if _TOKEN.match(token):
            with suppress(OSError):
                (self._folder / f"{token}{_QUEUED}").unlink(missing_ok=True)

    def drop_others(self, tokens: Collection[str]) -> None:
        """Delete claimed findings older than an hour, except those with these tokens."""
        for path in self._files(_QUEUED):
            if path.stem not in tokens and _age_s(path) > _FRESH_S:
                with suppress(OSError):
                    path.unlink()

    def _prune(self, older_than_s: float) -> None:
        for path in [*self._files(_PLANNED), *self._files(".new")]:
            if _age_s(path) > older_than_s:
                with suppress(OSError):
                    path.unlink()

    def _files(self, suffix: str) -> list[Path]:
        try:
            return [path for path in self._folder.iterdir() if path.suffix == suffix]
        except OSError:
            return []


def _read(path: Path) -> Iterator[list[Finding]]:
    with path.open("rb") as file:
        file.readline()
        for line in file:
            yield unpack(line, list[Finding])


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0
