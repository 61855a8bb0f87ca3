"""Checks of this machine: credentials and unattended transfers."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from backup.config import file
from backup.credentials import choice as store_choice
from backup.credentials import passphrase
from backup.credentials.errors import CredentialStoreError
from backup.credentials.vault import VaultKeyring
from backup.credentials.vault_file.unlocked import vault_path
from backup.instances import plain_secrets
from backup.model.credentials import TITLES, StoreBackend, StoreChoice, StoreState
from backup.queue import logind
from backup.system.hardening import is_hardened
from backup.system.paths import Paths
from providers.errors import ProviderError
from providers.remedies import Action, Remedy

if TYPE_CHECKING:
    from backup.queue.client import Queue


class HealthVerdict(StrEnum):
    OK = "ok"
    NOTE = "note"
    """Worth knowing; nothing is wrong."""
    BAD = "bad"


class HealthFinding(msgspec.Struct, frozen=True, kw_only=True, rename={"hint": "cure"}):
    what: str
    verdict: HealthVerdict
    detail: str
    hint: str = ""
    remedies: tuple[Remedy, ...] = ()


def findings(paths: Paths, queue: Queue) -> tuple[HealthFinding, ...]:
    """Findings about this machine. Each check is bounded in time; a store is asked for at most 3 s."""
    choices = store_choice.choices(paths)
    return (
        *_stores(choices),
        _in_use(choices),
        *_unattended(paths, choices),
        *_files(paths),
        _logout(),
        _reboot(),
        _memory(),
        *_queue(paths, queue),
    )


def _stores(choices: tuple[StoreChoice, ...]) -> Iterator[HealthFinding]:
    for choice in choices:
        if choice.state is StoreState.READY:
            verdict, detail = HealthVerdict.OK, "ready"
        elif choice.in_use and choice.state is not StoreState.LOCKED:
            verdict, detail = HealthVerdict.BAD, choice.detail
        else:
            verdict, detail = HealthVerdict.NOTE, choice.detail
        yield HealthFinding(
            what=choice.title, verdict=verdict, detail=detail, hint=choice.hint, remedies=choice.remedies
        )


def _in_use(choices: tuple[StoreChoice, ...]) -> HealthFinding:
    used = next((choice for choice in choices if choice.in_use), None)
    if used is None:
        return HealthFinding(
            what="store in use",
            verdict=HealthVerdict.BAD,
            detail="none: no credential can be kept",
            remedies=(Remedy(Action.CREATE_VAULT),),
        )
    chosen = "chosen in the configuration" if used.pinned else "found; the first credential kept makes it final"
    return HealthFinding(what="store in use", verdict=HealthVerdict.OK, detail=f"{used.title}, {chosen}")


def _unattended(paths: Paths, choices: tuple[StoreChoice, ...]) -> Iterator[HealthFinding]:
    """Findings on whether unattended jobs can read credentials."""
    used = next((choice.backend for choice in choices if choice.in_use), None)
    what = "unattended jobs"
    if used is not StoreBackend.VAULT:
        if used is not None:
            yield HealthFinding(
                what=what,
                verdict=HealthVerdict.NOTE,
                detail=f"you have to unlock the {TITLES[used]}",
                hint="The vault can open by itself.",
                remedies=(
                    Remedy(Action.MOVE_CREDENTIALS, value=StoreBackend.VAULT.value),
                    Remedy(Action.SET_UP_UNATTENDED),
                ),
            )
        return
    settings = file.load(paths).store
    if settings.key_file or passphrase.systemd_key_path():
        yield _key_opens(paths, what, settings.key_file)
    elif settings.password_command:
        yield HealthFinding(
            what=what, verdict=HealthVerdict.OK, detail=f"password_command: {settings.password_command[0]}"
        )
    else:
        yield HealthFinding(
            what=what,
            verdict=HealthVerdict.NOTE,
            detail="the vault stays locked until you unlock it",
            remedies=(Remedy(Action.SET_UP_UNATTENDED),),
        )


def _key_opens(paths: Paths, what: str, key_file: str) -> HealthFinding:
    source = key_file or "systemd's credential"
    vault = VaultKeyring(vault_path(paths))
    try:
        key = passphrase.unattended_key(Path(key_file) if key_file else None)
        assert key is not None
        vault.file.open(key)
    except CredentialStoreError as error:
        return HealthFinding(
            what=what, verdict=HealthVerdict.BAD, detail=error.message, hint=error.hint, remedies=error.remedies
        )
    return HealthFinding(what=what, verdict=HealthVerdict.OK, detail=f"{source} opens the vault")


def _files(paths: Paths) -> Iterator[HealthFinding]:
    for path in (paths.config_file, vault_path(paths), paths.journal_file):
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError:
            continue
        if mode & 0o077:
            yield HealthFinding(
                what="files",
                verdict=HealthVerdict.BAD,
                detail=f"others may read {path} ({mode:04o})",
                hint=f"chmod 600 {path}",
            )
    if plain := plain_secrets.secrets_in_file(paths):
        yield HealthFinding(
            what="configuration",
            verdict=HealthVerdict.BAD,
            detail=f"secrets in plain text: {', '.join(plain)}",
            hint="Unlock the store: the next command moves them there.",
        )


def _logout() -> HealthFinding:
    survives, why = logind.survives_logout()
    return HealthFinding(
        what="after logging out", verdict=HealthVerdict.OK if survives else HealthVerdict.BAD, detail=why
    )


def _reboot() -> HealthFinding:
    if logind.lingers():
        return HealthFinding(
            what="after a reboot", verdict=HealthVerdict.OK, detail="your user services start at boot (linger)"
        )
    return HealthFinding(
        what="after a reboot",
        verdict=HealthVerdict.NOTE,
        detail="the queue continues with your next command, or with a system timer",
        remedies=(Remedy(Action.RESUME_AT_BOOT),),
    )


def _memory() -> HealthFinding:
    if is_hardened():
        return HealthFinding(
            what="memory", verdict=HealthVerdict.OK, detail="no core dumps; other processes of yours cannot read it"
        )
    return HealthFinding(
        what="memory", verdict=HealthVerdict.NOTE, detail="this system cannot hide a process's memory from others"
    )


def _queue(paths: Paths, queue: Queue) -> Iterator[HealthFinding]:
    unlocked = queue.worker_unlocked()
    if unlocked is not None:
        detail = f"running as uid {os.getuid()}" + (", has the vault's key" if unlocked else "")
        yield HealthFinding(what="worker", verdict=HealthVerdict.OK, detail=detail)
    try:
        jobs = queue.snapshot(limit=0).jobs if paths.state_dir.exists() else ()
    except ProviderError as error:
        yield HealthFinding(
            what="journal", verdict=HealthVerdict.BAD, detail=error.message, hint=error.hint, remedies=error.remedies
        )
        return
    for job in jobs:
        if job.held:
            held = job.held
            yield HealthFinding(
                what=f"job {job.id}",
                verdict=HealthVerdict.BAD,
                detail=held.message,
                hint=held.hint,
                remedies=held.remedies,
            )
