"""The stores this machine could use, and the user's choice among them."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from backup.config import file
from backup.credentials import selection
from backup.credentials.errors import CredentialStoreError
from backup.credentials.vault_file.unlocked import vault_path
from backup.model.credentials import OPENED_BY_LOGIN, TITLES, StoreBackend, StoreChoice, StoreState
from backup.system.paths import Paths
from providers.errors import Conflict, Unsupported
from providers.remedies import Action, Remedy


def choices(
    paths: Paths, *, platform: str = sys.platform, probe_s: float = selection.PROBE_S
) -> tuple[StoreChoice, ...]:
    """The stores of this system, probed in parallel for at most `probe_s`; the recommended one is marked."""
    kinds = selection.backends_here(platform)
    with ThreadPoolExecutor(len(kinds)) as threads:
        problems = dict(zip(kinds, threads.map(lambda kind: _problem(paths, kind, probe_s), kinds), strict=True))
    pinned = file.load(paths).store.backend
    in_use = _in_use(paths, problems, platform)
    recommended = _recommended(problems, platform)
    return tuple(
        StoreChoice(
            backend=kind,
            title=TITLES[kind],
            state=_state(problem),
            detail=problem.message if problem else "",
            hint=problem.hint if problem else "",
            remedies=problem.remedies if problem else (),
            path=str(vault_path(paths)) if kind is StoreBackend.VAULT else "",
            in_use=kind is in_use,
            pinned=kind is pinned,
            recommended=kind is recommended,
        )
        for kind, problem in problems.items()
    )


def chosen(paths: Paths) -> StoreBackend:
    """The store in use, else the recommended one. A pinned store is not probed, because it may hang."""
    pinned = file.load(paths).store.backend
    if pinned is not None:
        return pinned
    found = choices(paths)
    return next((choice.backend for choice in found if choice.in_use), None) or next(
        choice.backend for choice in found if choice.recommended
    )


def use(paths: Paths, backend: StoreBackend) -> None:
    """Pin a store in the configuration, ready or not. Raises Conflict if another store has credentials."""
    if backend not in selection.backends_here():
        raise Unsupported(f"{TITLES[backend]} is not available on this system")
    with file.edit(paths) as draft:
        found = draft.configuration
        now = found.store.backend or (selection.native_here() if found.credentials else None)
        if now is not None and now is not backend and found.credentials:
            raise Conflict(
                f"credentials are kept in the {TITLES[now]}",
                hint="Move them first.",
                remedies=(Remedy(Action.MOVE_CREDENTIALS, value=backend.value),),
                code="credentials",
            )
        if now is not backend or found.store.backend is None:
            draft.choose_store(backend)


def _problem(paths: Paths, kind: StoreBackend, probe_s: float) -> CredentialStoreError | None:
    try:
        backend = selection.make(paths, kind)
    except CredentialStoreError as error:
        return error
    return selection.probe(backend, probe_s)


def _state(problem: CredentialStoreError | None) -> StoreState:
    if problem is None:
        return StoreState.READY
    return StoreState(problem.code) if problem.code in set(StoreState) else StoreState.UNAVAILABLE


def _in_use(
    paths: Paths, problems: dict[StoreBackend, CredentialStoreError | None], platform: str
) -> StoreBackend | None:
    """The decision of `selection.choose`, from these `problems`."""
    configuration = file.load(paths)
    native = selection.native_here(platform)
    if configuration.store.backend:
        return configuration.store.backend
    if native in OPENED_BY_LOGIN or configuration.credentials or problems[native] is None:
        return native
    return StoreBackend.VAULT if selection.vault_is_there(paths) else None


def _recommended(problems: dict[StoreBackend, CredentialStoreError | None], platform: str) -> StoreBackend:
    """The native store if it is ready or only has to be unlocked or created; else the vault."""
    native = selection.native_here(platform)
    problem = problems[native]
    good = problem is None or _state(problem) in {StoreState.LOCKED, StoreState.NO_COLLECTION}
    return native if good else StoreBackend.VAULT
