"""What is said about stores and credentials: plain data that both front ends draw. No secret is ever in it."""

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
    """Where secrets are kept and whether they can be read now."""

    state: StoreState
    backend: str
    detail: str = ""
    hint: str = ""
    remedies: tuple[Remedy, ...] = ()


class StoreBackend(StrEnum):
    """Where secrets can be kept. The values stand in the configuration file."""

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
"""Stores of the system that are always there, and that nothing here unlocks, creates or locks."""


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`credential_store` in the configuration file: the user's choice, and how the vault opens by itself."""

    backend: StoreBackend | None = None
    """None: nothing was chosen yet. The first credential that is kept makes it final."""
    key_file: str = ""
    password_command: tuple[str, ...] = ()
    left_in: StoreBackend | None = None
    """Credentials were moved away from here, and their copies in it still wait to be deleted."""


class StoreChoice(msgspec.Struct, frozen=True, kw_only=True):
    """A store that this machine could use. `detail` says what is wrong with it, `hint` and `remedies` what helps."""

    backend: StoreBackend
    title: str
    state: StoreState
    """NO_COLLECTION: it is there, but empty: `create_store` makes it (the vault, or the session's default keyring)."""
    detail: str = ""
    hint: str = ""
    remedies: tuple[Remedy, ...] = ()
    path: str = ""
    in_use: bool = False
    """What `store_status` speaks of."""
    pinned: bool = False
    """The user's choice, in the configuration; otherwise it was found."""
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
    """One line of what a person wants to know of a store: `question` ('survives a reboot'), the answer, and why."""

    question: str
    answer: YesNo
    why: str
    remedies: tuple[Remedy, ...] = ()


class CredentialState(StrEnum):
    SET = "set"
    MISSING = "missing"
    """Its service needs one, and none is kept."""
    EXPIRING = "expiring"
    """Within a week."""
    EXPIRED = "expired"
    REFUSED = "refused"
    """The service did not accept it when it was last asked."""


class CredentialFact(msgspec.Struct, frozen=True, kw_only=True):
    """One entry, or one that is wanted and not there. Moments are in seconds since 1970."""

    key: str
    instances: tuple[str, ...]
    """Who uses it."""
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
    """All that the screen of credentials says."""

    status: StoreStatus
    backend: StoreBackend | None
    """None where no store is chosen and none is ready."""
    title: str
    path: str
    pinned: bool
    facts: tuple[StoreFact, ...]
    credentials: tuple[CredentialFact, ...]
    slots: tuple[SlotFact, ...] = ()
    left_in: StoreBackend | None = None
    """A move that was not finished: copies are still in there (`remove_copies`)."""
    worker_unlocked: bool | None = None
    """Whether the worker at work has what it needs to read credentials; None when none runs."""


class MoveStep(StrEnum):
    COPY = "copy"
    COMPARE = "compare"
    SWITCH = "switch"
    DELETE = "delete"


class MoveProgress(msgspec.Struct, frozen=True, kw_only=True):
    """`done` of `total` credentials in this step; `key` is the one at hand."""

    step: MoveStep
    key: str
    done: int
    total: int


class MoveResult(msgspec.Struct, frozen=True, kw_only=True):
    """`moved` are the credentials that now live in `to`; `deleted` the copies that were removed from `source`. With
    `copies_left` nothing was deleted there yet: `remove_copies` does it, now or later."""

    source: StoreBackend
    to: StoreBackend
    moved: tuple[str, ...]
    deleted: tuple[str, ...] = ()
    copies_left: bool = False
