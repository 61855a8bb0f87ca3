"""Moving all credentials from one store to another: copy, compare, switch, delete. If interrupted, the store in use is
complete, and the next call continues.

Credentials set meanwhile by another process are not lost: comparison and switch are one step under the lock of the
configuration, which every change of a credential takes.
"""

from __future__ import annotations

from collections.abc import Callable

from backup.config import file
from backup.config.file import ConfigDraft
from backup.credentials import selection, unlocking
from backup.credentials.entry import to_text
from backup.credentials.errors import CredentialStoreError
from backup.credentials.store import CredentialStore
from backup.model.credentials import TITLES, MoveProgress, MoveResult, MoveStep, StoreBackend
from backup.system.paths import Paths
from providers.errors import Conflict, Unsupported
from providers.remedies import Action, Remedy
from providers.secret import Secret

OnProgress = Callable[[MoveProgress], None]


def move(
    paths: Paths,
    to: StoreBackend,
    *,
    confirm_delete: Callable[[], bool] = lambda: False,
    on_progress: OnProgress | None = None,
    ask: Callable[[], Secret] | None = None,
) -> MoveResult:
    """Copy, compare, switch, and delete the copies if `confirm_delete` agrees. May be interrupted at any time: until
    the switch the former store is in use and complete, after it the new one."""
    if to not in selection.backends_here():
        raise Unsupported(f"{TITLES[to]} is not available on this system")
    unlocking.open_by_itself(paths, selection.make(paths, StoreBackend.VAULT), ask)
    settings = file.load(paths).store
    source = settings.backend or selection.native_here()
    if source is to:
        if settings.left_in is None:
            raise Conflict(f"credentials are kept in the {TITLES[to]} already", code="store")
        source = settings.left_in
        moved: tuple[str, ...] = ()
    else:
        moved = _Move(paths, source, to, on_progress).run()
    copies = file.load(paths).store.left_in is not None
    deleted = remove_copies(paths, on_progress=on_progress) if copies and confirm_delete() else ()
    return MoveResult(source=source, to=to, moved=moved, deleted=deleted, copies_left=copies and not deleted)


def remove_copies(paths: Paths, *, on_progress: OnProgress | None = None) -> tuple[str, ...]:
    """Delete the copies that a move left in the former store. Returns their keys."""
    configuration = file.load(paths)
    former = configuration.store.left_in
    if former is None:
        return ()
    store = _store(paths, former)
    deleted = []
    keys = sorted(configuration.credentials)
    for done, key in enumerate(keys):
        _report(on_progress, MoveStep.DELETE, key, done, len(keys))
        if store.erase(key):
            deleted.append(key)
    with file.edit(paths) as draft:
        found = draft.configuration.store
        if found.left_in is former:
            draft.choose_store(found.backend)
    return tuple(deleted)


class _Move:
    def __init__(self, paths: Paths, source: StoreBackend, to: StoreBackend, on_progress: OnProgress | None) -> None:
        self._paths = paths
        self._kinds = source, to
        self._source = _store(paths, source)
        self._target = _store(paths, to)
        self._on_progress = on_progress

    def run(self) -> tuple[str, ...]:
        """Copy and switch. Returns the keys, which are now in the other store."""
        keys = sorted(file.load(self._paths).credentials)
        for done, key in enumerate(keys):
            _report(self._on_progress, MoveStep.COPY, key, done, len(keys))
            self._copy(key)
        with file.edit(self._paths) as draft:
            return self._switch(draft)

    def _switch(self, draft: ConfigDraft) -> tuple[str, ...]:
        """Copy entries again that another process has changed, then switch. The draft's lock prevents other changes."""
        source, to = self._kinds
        now = draft.configuration
        if (now.store.backend or selection.native_here()) is not source:
            raise Conflict("another process chose another store meanwhile", hint="Check which one, then try again.")
        keys = sorted(now.credentials)
        for done, key in enumerate(keys):
            _report(self._on_progress, MoveStep.COMPARE, key, done, len(keys))
            if self._source.get(key) != self._target.get(key):
                self._copy(key)
        _report(self._on_progress, MoveStep.SWITCH, "", 0, 1)
        draft.choose_store(to, left_in=source if keys else None)
        return tuple(keys)

    def _copy(self, key: str) -> None:
        entry = self._source.get(key)
        if entry is None:
            raise CredentialStoreError(
                f"the entry {key!r} is no longer in the {TITLES[self._kinds[0]]}",
                hint="Nothing was switched. Set the entry again, or remove it.",
                remedies=(Remedy(Action.SET_CREDENTIALS, key), Remedy(Action.REMOVE_CREDENTIALS, key)),
                code="missing",
            )
        self._target.put(key, to_text(entry))


def _store(paths: Paths, kind: StoreBackend) -> CredentialStore:
    """The store of this kind, chosen or not. Raises CredentialStoreError if it is not ready."""
    backend = selection.make(paths, kind)
    unlocking.open_by_itself(paths, backend)
    problem = selection.probe(backend)
    if problem is not None:
        raise problem
    return CredentialStore(paths, backend=lambda: backend)


def _report(on_progress: OnProgress | None, step: MoveStep, key: str, done: int, total: int) -> None:
    if on_progress:
        on_progress(MoveProgress(step=step, key=key, done=done, total=total))
