"""Remedies as keys of the console."""

from __future__ import annotations

from typing import Final, assert_never

from providers.remedies import Action, Advised, Remedy

_CREDENTIALS: Final = "in Credentials (5, c)"
_PROVIDERS: Final = "in Providers (1)"
_UNLOCK: Final = "u (U in Browse)"


def advice(of: Advised) -> str:
    """The hint of an error, then the keys that help."""
    return in_words(of.hint, of.remedies)


def in_words(text: str, remedies: tuple[Remedy, ...]) -> str:
    """`text`, then the keys that help."""
    return " ".join(filter(None, (text, *map(words, remedies))))


def words(remedy: Remedy) -> str:
    """A sentence that names the key."""
    setting = remedy.setting or "it"
    match remedy.action:
        case Action.SET_CREDENTIALS:
            return f"Set {remedy.setting or 'the credentials'}: r {_CREDENTIALS}."
        case Action.REMOVE_CREDENTIALS:
            return f"To forget it: del {_CREDENTIALS}."
        case Action.AUTHORIZE:
            return f"Authorise it: r {_CREDENTIALS}."
        case Action.SET_SETTING:
            return f"Set {setting}: ↵ {_PROVIDERS}."
        case Action.SET_UP:
            return f"Set it up first: s {_PROVIDERS}."
        case Action.CHECK:
            return f"Check it first: t {_PROVIDERS}."
        case Action.ENABLE:
            return f"Check and enable it: t, then e {_PROVIDERS}."
        case Action.NAME_PROVIDER:
            return "Choose one: i in Browse (2)."
        case Action.CHOOSE_DEFAULT:
            return "Set default_provider in the configuration file."
        case Action.UNLOCK_STORE:
            return f"To unlock it here: {_UNLOCK}."
        case Action.CREATE_VAULT:
            return f"Create the vault, an encrypted file of this program: s {_CREDENTIALS}."
        case Action.CREATE_KEYRING:
            return f"To create it here: {_UNLOCK}."
        case Action.MOVE_CREDENTIALS:
            return f"To move them: s {_CREDENTIALS}."
        case Action.GIVE_PASSPHRASE:
            return f"Provide the passphrase another way: {_UNLOCK}, or j {_CREDENTIALS}."
        case Action.DROP_SLOTS:
            return "The dialogue for the new key offers that."
        case Action.SET_UP_UNATTENDED:
            return f"For unattended jobs: j {_CREDENTIALS}."
        case Action.RESUME_AT_BOOT:
            return f"To resume at boot: j {_CREDENTIALS}."
        case Action.RETRY:
            return "Then retry: r in Transfers (3)."
        case Action.LIST_TRANSFERS:
            return "All jobs and items: Transfers (3) and Activity (4)."
        case Action.RESTORE_WITHOUT_OWNER:
            return "To restore without owners: o in the question before the download."
        case Action.RESTORE_WITHOUT_LINKS:
            return "To download it as a file: l in the question before the download."
        case Action.CHOOSE_FOLDER:
            return "Choose another folder on the left of Browse (2)."
        case Action.READ_ABOUT_PATTERNS:
            return "A pattern is a path or its end, with *, ?, [a-z] and {jpg,png}; one for folders ends with a /."
        case Action.UNKNOWN:
            return "A newer version of this program knows how to fix it: update."
        case _:
            assert_never(remedy.action)
