"""What a person wants to know of the store in use, said plainly: where, for how long, for whom."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from backup.config import file
from backup.config.file import Configuration
from backup.credentials import CredentialStore, last_used, opening, slots
from backup.credentials.vault_file.unlocked import vault_path
from backup.instances import describing
from backup.model.credentials import (
    TITLES,
    Answer,
    CredentialFact,
    CredentialState,
    StoreBackend,
    StoreFact,
    StoreFacts,
    StoreSettings,
    StoreState,
)
from backup.model.instances import InstanceInfo
from backup.system.paths import Paths
from providers.errors import Authentication

if TYPE_CHECKING:
    from backup.queue.client import Queue

SOON_S: Final = 7 * 86400.0
_NO_ROOT: Final = StoreFact(
    question="protects against root",
    answer=Answer.NO,
    why="root reads the memory of every process; no store on this machine changes that",
)


def facts(paths: Paths, store: CredentialStore, queue: Queue) -> StoreFacts:
    """`StoreService.store_facts`."""
    configuration = file.load(paths)
    kind, status = store.look()
    return StoreFacts(
        status=status,
        backend=kind,
        title=TITLES[kind] if kind else "no store yet",
        path=str(vault_path(paths)) if kind is StoreBackend.VAULT else "",
        pinned=configuration.store.backend is not None,
        facts=told(kind, configuration.store),
        credentials=credentials(paths, configuration),
        slots=slots.slots(paths) if kind is StoreBackend.VAULT and status.state is not StoreState.NO_COLLECTION else (),
        left_in=configuration.store.left_in,
        worker_unlocked=queue.worker_unlocked() if paths.journal_file.exists() else None,
    )


def told(kind: StoreBackend | None, settings: StoreSettings) -> tuple[StoreFact, ...]:
    """The questions of the screen with their answers, for one kind of store."""
    match kind:
        case StoreBackend.VAULT:
            return _of_vault(settings)
        case StoreBackend.SECRET_SERVICE:
            return _of_secret_service()
        case StoreBackend.KEYCHAIN:
            return _of_keychain()
        case StoreBackend.CREDENTIAL_MANAGER:
            return _of_credential_manager()
        case None:
            return ()


def _of_vault(settings: StoreSettings) -> tuple[StoreFact, ...]:
    alone = settings.key_file or settings.password_command or opening.systemd_gave_key()
    means = "a key file" if settings.key_file else "password_command" if settings.password_command else "systemd"
    return (
        StoreFact(
            question="survives a reboot",
            answer=Answer.YES,
            why=f"the file does; {means} opens it again"
            if alone
            else "the file does; it is locked until unlocked again",
        ),
        StoreFact(
            question="works for scheduled jobs",
            answer=Answer.YES if alone else Answer.PARTLY,
            why=f"opened by {means}"
            if alone
            else "while a worker that was given the key is at work; `credentials unattended` sets up the rest",
        ),
        StoreFact(
            question="protects against stolen files",
            answer=Answer.PARTLY if settings.key_file else Answer.YES,
            why="as long as the key file is not among them"
            if settings.key_file
            else "it is encrypted (XChaCha20-Poly1305); as strong as its passphrase (argon2id)",
        ),
        StoreFact(
            question="protects against other processes of yours",
            answer=Answer.NO,
            why="one that runs as you can watch what you type, or ask the worker for the key while it has it",
        ),
        _NO_ROOT,
    )


def _of_secret_service() -> tuple[StoreFact, ...]:
    return (
        StoreFact(
            question="survives a reboot",
            answer=Answer.PARTLY,
            why="what is in it does; it is locked until you log in on a desktop, or unlock it here",
        ),
        StoreFact(
            question="works for scheduled jobs",
            answer=Answer.PARTLY,
            why="only while your session (or linger) keeps the keyring running and unlocked; a vault needs neither",
        ),
        StoreFact(
            question="protects against stolen files",
            answer=Answer.YES,
            why="the keyring's files are encrypted with its password; without one they are not",
        ),
        StoreFact(
            question="protects against other processes of yours",
            answer=Answer.NO,
            why="while it is unlocked every program of your session may ask it",
        ),
        _NO_ROOT,
    )


def _of_keychain() -> tuple[StoreFact, ...]:
    return (
        StoreFact(question="survives a reboot", answer=Answer.YES, why="your log-in unlocks it"),
        StoreFact(
            question="works for scheduled jobs",
            answer=Answer.PARTLY,
            why="launchd agents of yours can use it while you are logged in",
        ),
        StoreFact(
            question="protects against stolen files", answer=Answer.YES, why="it is encrypted with your password"
        ),
        StoreFact(
            question="protects against other processes of yours",
            answer=Answer.PARTLY,
            why="macOS asks before another program reads an entry",
        ),
        _NO_ROOT,
    )


def _of_credential_manager() -> tuple[StoreFact, ...]:
    return (
        StoreFact(question="survives a reboot", answer=Answer.YES, why="your log-in opens it"),
        StoreFact(
            question="works for scheduled jobs",
            answer=Answer.PARTLY,
            why="tasks that run as you can use it; those that run without your password stored cannot",
        ),
        StoreFact(
            question="protects against stolen files",
            answer=Answer.YES,
            why="it is encrypted with your log-in's password (DPAPI)",
        ),
        StoreFact(
            question="protects against other processes of yours",
            answer=Answer.NO,
            why="every program that runs as you may read it",
        ),
        _NO_ROOT,
    )


def credentials(
    paths: Paths, configuration: Configuration | None = None, *, now: float | None = None
) -> tuple[CredentialFact, ...]:
    """Every entry that is noted, and every one that an instance wants; no store is asked."""
    configuration = configuration or file.load(paths)
    moment = time.time() if now is None else now
    # Another thread may have saved one since the configuration was read: the next look tells it.
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
    wanting: dict[str, list[str]] = {}
    for info in infos:
        if info.has_credentials is False:
            wanting.setdefault(configuration.instances[info.name].credentials_key, []).append(info.name)
    missing = [
        CredentialFact(key=key, instances=tuple(names), state=CredentialState.MISSING)
        for key, names in sorted(wanting.items())
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
