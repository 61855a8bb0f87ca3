"""The credentials in use, with their instances, expiry and state."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from backup.config import file
from backup.config.file import Configuration
from backup.credentials import CredentialStore, last_used, slots
from backup.credentials.facts import store_facts
from backup.credentials.vault_file.unlocked import vault_path
from backup.instances import describing
from backup.model.credentials import (
    TITLES,
    CredentialFact,
    CredentialState,
    StoreBackend,
    StoreFacts,
    StoreState,
)
from backup.model.instances import InstanceInfo
from backup.system.paths import Paths
from providers.errors import Authentication

if TYPE_CHECKING:
    from backup.queue.client import Queue

SOON_S: Final = 7 * 86400.0


def credentials(
    paths: Paths, configuration: Configuration | None = None, *, now: float | None = None
) -> tuple[CredentialFact, ...]:
    """Every credential noted in the configuration or missing for an instance; no store is asked."""
    configuration = configuration or file.load(paths)
    moment = time.time() if now is None else now
    # Another thread may have saved one since the configuration was read: the next call has it.
    infos = tuple(info for info in describing.describe_all(paths) if info.name in configuration.instances)
    users = {key: _users(configuration, infos, key) for key in configuration.credentials}
    used_at = last_used.last_used(paths)
    found = [
        CredentialFact(
            key=key,
            instances=tuple(info.name for info in users[key]),
            state=_state(record.expires_at, moment, users[key]),
            username=record.username,
            fields=record.fields,
            last_used_at=used_at.get(key),
            expires_at=record.expires_at,
        )
        for key, record in sorted(configuration.credentials.items())
    ]
    missing_for: dict[str, list[str]] = {}
    for info in infos:
        if info.has_credentials is False:
            missing_for.setdefault(configuration.instances[info.name].credentials_key, []).append(info.name)
    missing = [
        CredentialFact(key=key, instances=tuple(names), state=CredentialState.MISSING)
        for key, names in sorted(missing_for.items())
    ]
    return (*found, *missing)


def _users(configuration: Configuration, infos: tuple[InstanceInfo, ...], key: str) -> list[InstanceInfo]:
    return [
        info for info in infos if configuration.instances[info.name].credentials_key == key and info.has_credentials
    ]


def _state(expires_at: float | None, now: float, users: list[InstanceInfo]) -> CredentialState:
    if expires_at is not None and expires_at <= now:
        return CredentialState.EXPIRED
    if any(info.refusal and info.refusal.kind == Authentication.kind for info in users):
        return CredentialState.REFUSED
    return CredentialState.SET if expires_at is None or expires_at > now + SOON_S else CredentialState.EXPIRING


def facts(paths: Paths, store: CredentialStore, queue: Queue) -> StoreFacts:
    """Everything the credentials screen shows. Never raises; no store is asked for its contents."""
    configuration = file.load(paths)
    kind, status = store.look()
    return StoreFacts(
        status=status,
        backend=kind,
        title=TITLES[kind] if kind else "no store yet",
        path=str(vault_path(paths)) if kind is StoreBackend.VAULT else "",
        pinned=configuration.store.backend is not None,
        facts=store_facts(kind, configuration.store),
        credentials=credentials(paths, configuration),
        slots=slots.slots(paths) if kind is StoreBackend.VAULT and status.state is not StoreState.NO_COLLECTION else (),
        left_in=configuration.store.left_in,
        worker_unlocked=queue.worker_unlocked() if paths.journal_file.exists() else None,
    )
