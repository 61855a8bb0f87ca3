"""The slots of a vault: each holds the data key, sealed with a passphrase or raw key, as in LUKS.

A slot's secret is argon2id over the passphrase, or the raw key itself. Two values are derived from it (BLAKE2b, with
separate personalisation): a proof, which tells a wrong passphrase from an altered slot, and the key that seals the data
key with XChaCha20-Poly1305. All other bytes of the slot, and the vault's identity, are associated data. Pure: nothing
here reads or writes a file.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import unicodedata
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from nacl import bindings
from nacl.exceptions import CryptoError

from backup.credentials.vault_file.errors import VaultDamaged, VaultNotReadable, VaultTampered, VaultTooCostly, WrongKey
from providers.secret import MASK, Secret

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 24
_TAG_BYTES: Final = 16
_SALT_BYTES: Final = 16

Salt = Annotated[bytes, msgspec.Meta(min_length=_SALT_BYTES, max_length=_SALT_BYTES)]
Nonce = Annotated[bytes, msgspec.Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
_Proof = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
_Sealed = Annotated[bytes, msgspec.Meta(min_length=KEY_BYTES + _TAG_BYTES, max_length=KEY_BYTES + _TAG_BYTES)]


class SlotKind(StrEnum):
    PASSPHRASE = "passphrase"
    KEY = "key"
    """32 random bytes, for unattended jobs."""


class KdfCost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The cost of one guess at a passphrase: argon2id's passes and memory."""

    operations: int
    memory_bytes: int


MODERATE: Final = KdfCost(operations=3, memory_bytes=256 * 2**20)
"""libsodium's MODERATE: half a second here."""
DEAREST: Final = KdfCost(operations=10, memory_bytes=2**30)
"""The most a file may ask for: more could stall the machine."""


class RawKey:
    """32 random bytes that open a slot. The repr is masked, as that of a Secret."""

    __slots__ = ("__key",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a raw key has {KEY_BYTES} bytes")
        self.__key = key

    @classmethod
    def generate(cls) -> RawKey:
        return cls(secrets.token_bytes(KEY_BYTES))

    @classmethod
    def parse(cls, data: bytes) -> RawKey:
        """Parse a key file: 32 raw bytes, or their base64 in one line. Raises WrongKey, which never repeats them."""
        if len(data) == KEY_BYTES:
            return cls(data)
        try:
            return cls(base64.b64decode(data.strip(), validate=True))
        except (binascii.Error, ValueError):
            raise WrongKey("not a vault key: neither 32 bytes nor their base64") from None

    def reveal(self) -> bytes:
        return self.__key

    def text(self) -> Secret:
        """The base64 text of a key file, without a line end."""
        return Secret(base64.b64encode(self.__key).decode("ascii"))

    def __repr__(self) -> str:
        return f"RawKey({MASK!r})"

    def __reduce__(self) -> str:
        raise TypeError("a RawKey is not pickled")


Opener = Secret | RawKey
"""A passphrase, or a raw key."""


class Slot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: str
    kind: SlotKind
    label: str
    created_at: int
    """Seconds since 1970."""
    cost: KdfCost | None
    """None for a raw key."""
    salt: Salt
    proof: _Proof
    nonce: Nonce
    sealed: _Sealed


def seal(
    data_key: bytes, owner: bytes, opener: Opener, *, label: str, created_at: int, cost: KdfCost = MODERATE
) -> Slot:
    """A new slot that holds `data_key`, bound to the vault `owner`."""
    raw = isinstance(opener, RawKey)
    salt = secrets.token_bytes(_SALT_BYTES)
    secret = _secret(opener, None if raw else cost, salt)
    slot = Slot(
        id=secrets.token_hex(4),
        kind=SlotKind.KEY if raw else SlotKind.PASSPHRASE,
        label=label,
        created_at=created_at,
        cost=None if raw else cost,
        salt=salt,
        proof=_derived(secret, salt, b"proof", 16),
        nonce=secrets.token_bytes(NONCE_BYTES),
        sealed=bytes(KEY_BYTES + _TAG_BYTES),
    )
    sealed = encrypt(data_key, _bound(slot, owner), slot.nonce, _derived(secret, salt, b"seal", KEY_BYTES))
    return msgspec.structs.replace(slot, sealed=sealed)


def open_slot(slot: Slot, owner: bytes, opener: Opener) -> bytes | None:
    """The data key; None if this opener does not fit. Raises VaultTampered, VaultTooCostly, VaultDamaged."""
    if isinstance(opener, RawKey) != (slot.kind is SlotKind.KEY):
        return None
    _check_cost(slot)
    secret = _secret(opener, slot.cost, slot.salt)
    if not hmac.compare_digest(slot.proof, _derived(secret, slot.salt, b"proof", 16)):
        return None
    key = _derived(secret, slot.salt, b"seal", KEY_BYTES)
    opened = decrypt(slot.sealed, _bound(slot, owner), slot.nonce, key)
    if opened is None:
        raise VaultTampered(f"slot {slot.id} ({slot.kind.value}) was altered by someone without its key")
    return opened


def encrypt(plain: bytes, bound: bytes, nonce: bytes, key: bytes) -> bytes:
    return bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, bound, nonce, key)


def decrypt(sealed: bytes, bound: bytes, nonce: bytes, key: bytes) -> bytes | None:
    """The plain bytes; None if `sealed` or `bound` was altered, or the key differs."""
    if len(sealed) < _TAG_BYTES:
        return None
    try:
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, bound, nonce, key)
    except CryptoError:
        return None


def _check_cost(slot: Slot) -> None:
    if (slot.cost is None) != (slot.kind is SlotKind.KEY):
        raise VaultDamaged(f"slot {slot.id} ({slot.kind.value}) has the wrong fields for its kind")
    cost = slot.cost
    if cost and (cost.memory_bytes > DEAREST.memory_bytes or cost.operations > DEAREST.operations):
        raise VaultTooCostly(
            f"slot {slot.id} asks for {cost.operations} passes over {cost.memory_bytes / 2**20:,.0f} MiB of memory; "
            f"at most {DEAREST.operations} over {DEAREST.memory_bytes // 2**20:,} MiB are allowed"
        )


def _secret(opener: Opener, cost: KdfCost | None, salt: bytes) -> bytes:
    if isinstance(opener, RawKey):
        return opener.reveal()
    assert cost is not None
    # NFC: the same letters typed on another keyboard or system give the same passphrase.
    typed = unicodedata.normalize("NFC", opener.reveal()).encode("utf-8", "surrogatepass")
    try:
        return bindings.crypto_pwhash_alg(
            KEY_BYTES, typed, salt, cost.operations, cost.memory_bytes, bindings.crypto_pwhash_ALG_ARGON2ID13
        )
    except CryptoError as error:
        if cost.memory_bytes < bindings.crypto_pwhash_argon2id_MEMLIMIT_MIN or cost.operations < 1:
            raise VaultDamaged("a slot asks for less memory or time than argon2id allows") from error
        raise VaultNotReadable(
            f"this machine has no {cost.memory_bytes // 2**20} MiB of free memory to try the passphrase",
            hint="Free some memory, then try again.",
        ) from error


def _derived(secret: bytes, salt: bytes, purpose: bytes, size_bytes: int) -> bytes:
    return hashlib.blake2b(salt, digest_size=size_bytes, key=secret, person=b"hsb-vault-" + purpose).digest()


def _bound(slot: Slot, owner: bytes) -> bytes:
    blank = msgspec.structs.replace(slot, sealed=bytes(KEY_BYTES + _TAG_BYTES))
    return b"slot\0" + owner + b"\0" + canonical(blank)


def canonical(struct: msgspec.Struct) -> bytes:
    """The same bytes for the same contents."""
    return msgspec.json.encode(struct, order="sorted")
