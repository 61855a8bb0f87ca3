"""What a person wants to know of the store in use, said plainly: where, for how long, for whom."""

from __future__ import annotations

from typing import Final

from backup.credentials import unlocking
from backup.model.credentials import (
    StoreBackend,
    StoreFact,
    StoreSettings,
    YesNo,
)
from providers.remedies import Action, Remedy

_NO_ROOT: Final = StoreFact(
    question="protects against root",
    answer=YesNo.NO,
    why="root reads the memory of every process; no store on this machine changes that",
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
    alone = settings.key_file or settings.password_command or unlocking.systemd_gave_key()
    means = "a key file" if settings.key_file else "password_command" if settings.password_command else "systemd"
    return (
        StoreFact(
            question="survives a reboot",
            answer=YesNo.YES,
            why=f"the file does; {means} opens it again"
            if alone
            else "the file does; it is locked until unlocked again",
        ),
        StoreFact(
            question="works for scheduled jobs",
            answer=YesNo.YES if alone else YesNo.PARTLY,
            why=f"opened by {means}" if alone else "while a worker that was given the key is at work",
            remedies=() if alone else (Remedy(Action.SET_UP_UNATTENDED),),
        ),
        StoreFact(
            question="protects against stolen files",
            answer=YesNo.PARTLY if settings.key_file else YesNo.YES,
            why="as long as the key file is not among them"
            if settings.key_file
            else "it is encrypted (XChaCha20-Poly1305); as strong as its passphrase (argon2id)",
        ),
        StoreFact(
            question="protects against other processes of yours",
            answer=YesNo.NO,
            why="one that runs as you can watch what you type, or ask the worker for the key while it has it",
        ),
        _NO_ROOT,
    )


def _of_secret_service() -> tuple[StoreFact, ...]:
    return (
        StoreFact(
            question="survives a reboot",
            answer=YesNo.PARTLY,
            why="what is in it does; it is locked until you log in on a desktop, or unlock it here",
        ),
        StoreFact(
            question="works for scheduled jobs",
            answer=YesNo.PARTLY,
            why="only while your session (or linger) keeps the keyring running and unlocked; a vault needs neither",
        ),
        StoreFact(
            question="protects against stolen files",
            answer=YesNo.YES,
            why="the keyring's files are encrypted with its password; without one they are not",
        ),
        StoreFact(
            question="protects against other processes of yours",
            answer=YesNo.NO,
            why="while it is unlocked every program of your session may ask it",
        ),
        _NO_ROOT,
    )


def _of_keychain() -> tuple[StoreFact, ...]:
    return (
        StoreFact(question="survives a reboot", answer=YesNo.YES, why="your log-in unlocks it"),
        StoreFact(
            question="works for scheduled jobs",
            answer=YesNo.PARTLY,
            why="launchd agents of yours can use it while you are logged in",
        ),
        StoreFact(question="protects against stolen files", answer=YesNo.YES, why="it is encrypted with your password"),
        StoreFact(
            question="protects against other processes of yours",
            answer=YesNo.PARTLY,
            why="macOS asks before another program reads an entry",
        ),
        _NO_ROOT,
    )


def _of_credential_manager() -> tuple[StoreFact, ...]:
    return (
        StoreFact(question="survives a reboot", answer=YesNo.YES, why="your log-in opens it"),
        StoreFact(
            question="works for scheduled jobs",
            answer=YesNo.PARTLY,
            why="tasks that run as you can use it; those that run without your password stored cannot",
        ),
        StoreFact(
            question="protects against stolen files",
            answer=YesNo.YES,
            why="it is encrypted with your log-in's password (DPAPI)",
        ),
        StoreFact(
            question="protects against other processes of yours",
            answer=YesNo.NO,
            why="every program that runs as you may read it",
        ),
        _NO_ROOT,
    )
