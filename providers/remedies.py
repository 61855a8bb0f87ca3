"""Fixes for an error, as data: each front end words them with its own keys or verbs."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

import msgspec


class Action(StrEnum):
    """The fix. Comments name the arguments of `Remedy` that it uses, if any."""

    SET_CREDENTIALS = "set_credentials"  # instance, setting
    REMOVE_CREDENTIALS = "remove_credentials"  # instance
    AUTHORIZE = "authorize"
    SET_SETTING = "set_setting"  # instance, setting, value
    SET_UP = "set_up"  # instance
    CHECK = "check"  # instance
    ENABLE = "enable"  # instance
    NAME_PROVIDER = "name_provider"
    CHOOSE_DEFAULT = "choose_default"
    UNLOCK_STORE = "unlock_store"
    CREATE_VAULT = "create_vault"
    CREATE_KEYRING = "create_keyring"
    MOVE_CREDENTIALS = "move_credentials"  # value: the store to move to
    GIVE_PASSPHRASE = "give_passphrase"
    DROP_SLOTS = "drop_slots"
    SET_UP_UNATTENDED = "set_up_unattended"
    RESUME_AT_BOOT = "resume_at_boot"
    RETRY = "retry"
    LIST_TRANSFERS = "list_transfers"
    RESTORE_WITHOUT_OWNER = "restore_without_owner"
    RESTORE_WITHOUT_LINKS = "restore_without_links"
    CHOOSE_FOLDER = "choose_folder"
    READ_ABOUT_PATTERNS = "read_about_patterns"
    UNKNOWN = "unknown"
    """Written by another version of the program, and unknown to this one."""

    @classmethod
    def _missing_(cls, value: object) -> Action:
        return cls.UNKNOWN


class Remedy(msgspec.Struct, frozen=True):
    """One fix with its arguments; empty if unknown. It crosses processes, and is stored in the journal and in the
    configuration."""

    action: Action
    instance: str = ""
    setting: str = ""
    value: str = ""


class Advised(Protocol):
    """An error, a status or a finding. `hint` is advice that is the same in every front end."""

    @property
    def hint(self) -> str: ...

    @property
    def remedies(self) -> tuple[Remedy, ...]: ...
