"""Facts about the store in use: what it survives, and what it protects against."""

from __future__ import annotations

from typing import Final, NamedTuple

from backup.credentials import unlocking
from backup.model.credentials import StoreBackend, StoreFact, StoreSettings, YesNo
from providers.remedies import Action, Remedy

QUESTIONS: Final = (
    "survives a reboot",
    "works for scheduled jobs",
    "protects against stolen files",
    "protects against other processes of yours",
    "protects against root",
)


class _Answer(NamedTuple):
    answer: YesNo
    why: str
    remedies: tuple[Remedy, ...] = ()


_SET_UP_UNATTENDED: Final = Remedy(Action.SET_UP_UNATTENDED)
_ROOT: Final = _Answer(YesNo.NO, "root reads the memory of every process; no store on this machine changes that")
_ANSWERS: Final[dict[StoreBackend, tuple[_Answer, ...]]] = {
    StoreBackend.SECRET_SERVICE: (
        _Answer(YesNo.PARTLY, "its contents do; it stays locked until you log in on a desktop, or unlock it here"),
        _Answer(
            YesNo.PARTLY,
            "only while your session (or linger) keeps the keyring running and unlocked; a vault needs neither",
        ),
        _Answer(YesNo.YES, "the keyring's files are encrypted with its password; without one they are not"),
        _Answer(YesNo.NO, "while it is unlocked, any program of your session can read it"),
        _ROOT,
    ),
    StoreBackend.KEYCHAIN: (
        _Answer(YesNo.YES, "your log-in unlocks it"),
        _Answer(YesNo.PARTLY, "launchd agents of yours can use it while you are logged in"),
        _Answer(YesNo.YES, "it is encrypted with your password"),
        _Answer(YesNo.PARTLY, "macOS asks before another program reads an entry"),
        _ROOT,
    ),
    StoreBackend.CREDENTIAL_MANAGER: (
        _Answer(YesNo.YES, "your log-in opens it"),
        _Answer(YesNo.PARTLY, "tasks that run as you can use it; those that run without your password stored cannot"),
        _Answer(YesNo.YES, "it is encrypted with your log-in's password (DPAPI)"),
        _Answer(YesNo.NO, "any program that runs as you can read it"),
        _ROOT,
    ),
}


def store_facts(kind: StoreBackend | None, settings: StoreSettings) -> tuple[StoreFact, ...]:
    """The QUESTIONS with the answers for one kind of store; empty while no store is chosen."""
    if kind is None:
        return ()
    answers = _of_vault(settings) if kind is StoreBackend.VAULT else _ANSWERS[kind]
    return tuple(
        StoreFact(question=question, answer=answer, why=why, remedies=remedies)
        for question, (answer, why, remedies) in zip(QUESTIONS, answers, strict=True)
    )


def _of_vault(settings: StoreSettings) -> tuple[_Answer, ...]:
    """Answers for the vault, which depend on how unattended jobs open it."""
    if settings.key_file:
        opener = "a key file"
    elif settings.password_command:
        opener = "password_command"
    else:
        opener = "systemd" if unlocking.systemd_gave_key() else ""
    reboot = f"{opener} opens it again" if opener else "it is locked until unlocked again"
    jobs = _Answer(YesNo.PARTLY, "while a worker that has the key is running.", (_SET_UP_UNATTENDED,))
    files = _Answer(YesNo.YES, "it is encrypted (XChaCha20-Poly1305); as strong as its passphrase (argon2id)")
    if opener:
        jobs = _Answer(YesNo.YES, f"opened by {opener}")
    if settings.key_file:
        files = _Answer(YesNo.PARTLY, "unless the key file is stolen too")
    yours = "a process that runs as you can watch what you type, or ask the worker for the key while it has it"
    return _Answer(YesNo.YES, f"the file does; {reboot}"), jobs, files, _Answer(YesNo.NO, yours), _ROOT
