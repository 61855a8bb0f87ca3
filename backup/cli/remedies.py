"""Remedies worded as verbs of the command line."""

from __future__ import annotations

from typing import Any, Final, assert_never

from providers.remedies import Action, Advised, Remedy

_TEXTS: Final = ("hint", "cure", "why")
"""JSON keys of the texts that remedies are added to."""


def advice(of: Advised) -> str:
    """The hint and remedies of an error, as sentences."""
    return in_words(of.hint, of.remedies)


def in_words(text: str, remedies: tuple[Remedy, ...]) -> str:
    """`text`, then a sentence per remedy."""
    return " ".join(filter(None, (text, *map(words, remedies))))


def in_json(value: Any) -> Any:
    """Plain data with each list of remedies turned into sentences of the text beside it."""
    if isinstance(value, list | tuple):
        return [in_json(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {key: in_json(each) for key, each in value.items() if key != "remedies"}
    for text in (key for key in _TEXTS if "remedies" in value and key in found):
        remedies = (Remedy(**each | {"action": Action(each["action"])}) for each in value["remedies"])
        found[text] = in_words(found[text], tuple(remedies))
        break
    return found


def words(remedy: Remedy) -> str:
    """A sentence that names the verb to run."""
    instance = f" {remedy.instance}" if remedy.instance else ""
    match remedy.action:
        case Action.SET_CREDENTIALS:
            return _set_credentials(remedy)
        case Action.REMOVE_CREDENTIALS:
            return f"To remove it: remove-credentials{instance}."
        case Action.AUTHORIZE:
            return f"Run authorize{instance}."
        case Action.SET_SETTING:
            return _set_setting(remedy)
        case Action.SET_UP:
            return f"Set it up first: set-config{instance} type SERVICE."
        case Action.CHECK:
            return f"Run test-providers{instance} first."
        case Action.ENABLE:
            return f"Check and enable it: enable-provider{instance}."
        case Action.NAME_PROVIDER:
            return "Name one with --provider."
        case Action.CHOOSE_DEFAULT:
            return "Choose the default: set-config default_provider NAME."
        case Action.UNLOCK_STORE:
            return "To unlock it here: credentials unlock."
        case Action.CREATE_VAULT:
            return "Create the vault, an encrypted file of this program: credentials create-vault."
        case Action.CREATE_KEYRING:
            return "To create it here: credentials create-keyring."
        case Action.MOVE_CREDENTIALS:
            return f"To move them: credentials move --to {remedy.value}."
        case Action.GIVE_PASSPHRASE:
            return "Give it another way: at the prompt, by --passphrase-fd, or with password_command."
        case Action.DROP_SLOTS:
            return "To drop them: --drop-others."
        case Action.SET_UP_UNATTENDED:
            return "For unattended jobs: credentials unattended."
        case Action.RESUME_AT_BOOT:
            return "To resume it at boot: credentials unattended key-file --resume --units FOLDER."
        case Action.RETRY:
            return "Then retry: transfers retry."
        case Action.LIST_TRANSFERS:
            return "For the numbers of jobs and items: transfers list."
        case Action.RESTORE_WITHOUT_OWNER:
            return "Run it without --owner."
        case Action.RESTORE_WITHOUT_LINKS:
            return "Download it without --links to see what it is."
        case Action.CHOOSE_FOLDER:
            return "Choose another folder with --to."
        case Action.READ_ABOUT_PATTERNS:
            return "For the syntax of patterns: upload --help."
        case Action.UNKNOWN:
            return "A newer version of this program knows what to do: update it."
        case _:
            assert_never(remedy.action)


def _set_credentials(remedy: Remedy) -> str:
    instance, setting = remedy.instance, remedy.setting
    if setting:
        return f"Set {setting} with set-credentials {instance or 'NAME'} --setting {setting}."
    return f"Set the credentials: set-credentials {instance}." if instance else "Set the credentials: set-credentials."


def _set_setting(remedy: Remedy) -> str:
    instance, setting, value = remedy.instance, remedy.setting, remedy.value
    if instance and setting:
        return f"Set {setting} with set-config {instance} {setting} {value or 'VALUE'}."
    return f"Set {setting or 'it'} with set-config."
