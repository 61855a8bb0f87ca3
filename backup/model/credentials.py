"""Stores and credentials as plain data for both front ends. It never contains a secret."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from providers.remedies import Remedy


class StoreState(StrEnum):
    READY = "ready"
    LOCKED = "locked"
    NO_COLLECTION = "no_collection"
    UNAVAILABLE = "unavailable"
    """No backend at all: no session bus, no service."""
    HUNG = "hung"


class StoreStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The place where secrets are kept, and whether they can be read now."""

    state: StoreState
    backend: str
    detail: str = ""
    hint: str = ""
    remedies: tuple[Remedy, ...] = ()


class StoreBackend(StrEnum):
    """Kinds of credential store. The values are used in the configuration file."""

    SECRET_SERVICE = "secret_service"
    VAULT = "vault"
    KEYCHAIN = "keychain"
    CREDENTIAL_MANAGER = "credential_manager"


TITLES: Final = {
    StoreBackend.SECRET_SERVICE: "Secret Service (the session's keyring)",
    StoreBackend.VAULT: "vault (an encrypted file of this program)",
    StoreBackend.KEYCHAIN: "macOS Keychain",
    StoreBackend.CREDENTIAL_MANAGER: "Windows Credential Manager",
}
OPENED_BY_LOGIN: Final = frozenset({StoreBackend.KEYCHAIN, StoreBackend.CREDENTIAL_MANAGER})
"""Stores of the system that always exist, and that this program does not unlock, create or lock."""


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`credential_store` in the configuration file: the user's choice, and how the vault is opened unattended."""

    backend: StoreBackend | None = None
    """None: not chosen yet. Storing the first credential makes the choice final."""
    key_file: str = ""
    password_command: tuple[str, ...] = ()
    left_in: StoreBackend | None = None
    """The store that credentials were moved from, if their copies there are still to be deleted."""


class StoreChoice(msgspec.Struct, frozen=True, kw_only=True):
    """A store that this machine could use. `detail` says what is wrong with it, `hint` and `remedies` how to fix it."""

    backend: StoreBackend
    title: str
    state: StoreState
    """NO_COLLECTION: it exists but is empty; `create_store` creates the vault, or the session's default keyring."""
    detail: str = ""
    hint: str = ""
    remedies: tuple[Remedy, ...] = ()
    path: str = ""
    in_use: bool = False
    """It is the store that `store_status` describes."""
    pinned: bool = False
    """Chosen by the user in the configuration; otherwise it was detected."""
    recommended: bool = False

    @property
    def can_unlock(self) -> bool:
        return self.state is StoreState.LOCKED

    @property
    def can_create(self) -> bool:
        return self.state is StoreState.NO_COLLECTION


class YesNo(StrEnum):
    YES = "yes"
    NO = "no"
    PARTLY = "partly"
    UNKNOWN = "unknown"


class StoreFact(msgspec.Struct, frozen=True, kw_only=True):
    """One line of information about a store: `question` ('survives a reboot'), the answer, and the reason."""

    question: str
    answer: YesNo
    why: str
    remedies: tuple[Remedy, ...] = ()


class CredentialState(StrEnum):
    SET = "set"
    MISSING = "missing"
    """Its service needs one, and none is stored."""
    EXPIRING = "expiring"
    """Within a week."""
    EXPIRED = "expired"
    REFUSED = "refused"
    """The service rejected it the last time."""


class CredentialFact(msgspec.Struct, frozen=True, kw_only=True):
    """One entry, or one that is needed but missing. Times are in seconds since 1970."""

    key: str
    instances: tuple[str, ...]
    """Its users."""
    state: CredentialState
    username: str = ""
    fields: tuple[str, ...] = ()
    """Names of the secrets in it."""
    last_used_at: float | None = None
    expires_at: float | None = None


class SlotFact(msgspec.Struct, frozen=True, kw_only=True):
    """One way to open the vault. `kind` is "passphrase" or "key"."""

    id: str
    kind: str
    label: str
    created_at: int


class StoreFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the credentials screen shows."""

    status: StoreStatus
    backend: StoreBackend | None
    """None if no store is chosen and none is ready."""
    title: str
    path: str
    pinned: bool
    facts: tuple[StoreFact, ...]
    credentials: tuple[CredentialFact, ...]
    slots: tuple[SlotFact, ...] = ()
    left_in: StoreBackend | None = None
    """Of an unfinished move: copies are still in this store (`remove_copies`)."""
    worker_unlocked: bool | None = None
    """Whether the worker has what it needs to read credentials; None if none runs."""


class MoveStep(StrEnum):
    COPY = "copy"
    COMPARE = "compare"
    SWITCH = "switch"
    DELETE = "delete"


class MoveProgress(msgspec.Struct, frozen=True, kw_only=True):
    """`done` of `total` credentials in this step; `key` is the current one."""

    step: MoveStep
    key: str
    done: int
    total: int


class MoveResult(msgspec.Struct, frozen=True, kw_only=True):
    """`moved` are the credentials now stored in `to`, `deleted` the copies removed from `source`. With `copies_left`
    nothing was deleted there yet; `remove_copies` does that, now or later."""

    source: StoreBackend
    to: StoreBackend
    moved: tuple[str, ...]
    deleted: tuple[str, ...] = ()
    copies_left: bool = False
