"""The vault's file, as bytes:

    {"header": {"format": "homeserver-backup-vault", "version": 1, "vault_id": ..., "key_id": ...,
                "generation": 7, "slots": [...]},
     "nonce": ..., "body": ..., "checksum": ...}

`body` holds all entries with their names, encrypted under the data key (XChaCha20-Poly1305) with the canonical header
as associated data: without the key, no change of a slot, counter or entry goes unnoticed. `checksum` (SHA-256 over the
rest) tells a bad disk from tampering. Binary values are base64. `generation` grows by one with each write; `key_id`
changes with the data key. Pure: nothing here reads or writes a file.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from backup.credentials.vault_file.errors import (
    VaultDamaged,
    VaultLocked,
    VaultRolledBack,
    VaultTampered,
    VaultTooNew,
    VaultTruncated,
    WrongKey,
)
from backup.credentials.vault_file.slots import KEY_BYTES, NONCE_BYTES, Nonce, Salt, Slot, canonical, decrypt, encrypt
from providers.secret import MASK, Secret

FORMAT: Final = "homeserver-backup-vault"
VERSION: Final = 1
MOST_SLOTS: Final = 8
MOST_BYTES: Final = 16 * 2**20
ID_BYTES: Final = 16

Entries = dict[tuple[str, str], str]
"""Secrets by (service, username)."""


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: str
    version: int
    vault_id: Salt
    key_id: Salt
    generation: int
    slots: Annotated[tuple[Slot, ...], msgspec.Meta(min_length=1, max_length=MOST_SLOTS)]

    @property
    def owner(self) -> bytes:
        """The associated data that binds slots to this vault."""
        return FORMAT.encode() + b"\0" + str(self.version).encode() + b"\0" + self.vault_id + self.key_id


class VaultDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    header: Header
    nonce: Nonce
    body: bytes
    checksum: bytes = b""


class _Stamp(msgspec.Struct, frozen=True):
    format: str
    version: int


class _Stamped(msgspec.Struct, frozen=True):
    header: _Stamp


class DataKey:
    """The key of an unlocked vault, in memory only, with the newest generation it has opened. Its repr is masked.

    Python cannot guarantee to wipe it from memory; `backup.system.hardening` keeps other processes from reading it.
    """

    __slots__ = ("__key", "_lock", "_newest", "key_id", "vault_id")

    def __init__(self, vault_id: bytes, key_id: bytes, key: bytes) -> None:
        self.vault_id, self.key_id = vault_id, key_id
        self.__key = key
        self._lock = threading.Lock()
        self._newest = 0

    @classmethod
    def generate(cls, vault_id: bytes | None = None) -> DataKey:
        return cls(
            vault_id or secrets.token_bytes(ID_BYTES), secrets.token_bytes(ID_BYTES), secrets.token_bytes(KEY_BYTES)
        )

    @property
    def newest(self) -> int:
        return self._newest

    def saw(self, generation: int) -> None:
        with self._lock:
            self._newest = max(self._newest, generation)

    def reveal(self) -> bytes:
        return self.__key

    def handover(self) -> Secret:
        """The key for another process of the same user, over a private socket; see `taken`."""
        packed = self.vault_id + self.key_id + self.__key + self._newest.to_bytes(8, "big")
        return Secret(base64.b64encode(packed).decode("ascii"))

    @classmethod
    def taken(cls, handed: Secret) -> DataKey:
        """The key from the text of `handover`. Raises WrongKey for any other text."""
        try:
            packed = base64.b64decode(handed.reveal(), validate=True)
        except (binascii.Error, ValueError):
            packed = b""
        if len(packed) != 2 * ID_BYTES + KEY_BYTES + 8:
            raise WrongKey("the key handed over is not a vault key")
        found = cls(packed[:ID_BYTES], packed[ID_BYTES : 2 * ID_BYTES], packed[2 * ID_BYTES : 2 * ID_BYTES + KEY_BYTES])
        found.saw(int.from_bytes(packed[-8:], "big"))
        return found

    def __repr__(self) -> str:
        return f"DataKey({MASK!r})"

    def __reduce__(self) -> str:
        raise TypeError("a DataKey is not pickled")


def encode(header: Header, entries: Mapping[tuple[str, str], str], key: DataKey) -> bytes:
    """The file's bytes, verified by decoding and opening them again."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    body = encrypt(_plain(entries), canonical(header), nonce, key.reveal())
    document = VaultDocument(header=header, nonce=nonce, body=body)
    document = msgspec.structs.replace(document, checksum=_checksum(document))
    data = msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"
    if _opened(decode(data), key) != entries:
        raise VaultDamaged("the vault to be written does not read back", hint="Check this machine's memory.")
    return data


def decode(data: bytes) -> VaultDocument:
    """Raises VaultTruncated, VaultTooNew, VaultDamaged."""
    if not data.rstrip().endswith(b"}"):
        raise VaultTruncated("the vault is empty" if not data else "the vault ends too early")
    try:
        stamp = msgspec.json.decode(data, type=_Stamped).header
        if stamp.format != FORMAT:
            raise VaultDamaged("the file is not a vault of this program")
        if stamp.version > VERSION:
            raise VaultTooNew(f"the vault has version {stamp.version}; this program knows {VERSION}")
        document = msgspec.json.decode(data, type=VaultDocument)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if "truncated" in str(error):
            raise VaultTruncated("the vault ends too early") from None
        raise VaultDamaged(f"the vault cannot be read: {_where(error)}") from None
    if stamp.version != VERSION:
        raise VaultDamaged(f"there is no version {stamp.version} of a vault")
    if not hmac.compare_digest(document.checksum, _checksum(document)):
        raise VaultDamaged("the vault does not hold the bytes that were written: its checksum does not match")
    return document


def open_body(document: VaultDocument, key: DataKey, *, since: int) -> Entries:
    """All entries. `since`: the newest generation known before the file was read.

    Raises VaultLocked (another data key), VaultTampered, VaultRolledBack, VaultDamaged.
    """
    entries = _opened(document, key)
    if document.header.generation < since:
        raise VaultRolledBack(f"the vault is of generation {document.header.generation}; this process has seen {since}")
    key.saw(document.header.generation)
    return entries


def _opened(document: VaultDocument, key: DataKey) -> Entries:
    header = document.header
    if header.vault_id != key.vault_id:
        raise VaultLocked("another vault has replaced the one that was unlocked")
    if header.key_id != key.key_id:
        raise VaultLocked("the vault's data key was renewed since it was unlocked")
    plain = decrypt(document.body, canonical(header), document.nonce, key.reveal())
    if plain is None:
        raise VaultTampered("the vault was altered by someone without its key")
    return _entries(plain)


def _plain(entries: Mapping[tuple[str, str], str]) -> bytes:
    # json, not msgspec: a secret may hold surrogates, which stand for bytes that are not UTF-8.
    return json.dumps([[*names, secret] for names, secret in sorted(entries.items())], separators=(",", ":")).encode()


def _entries(plain: bytes) -> Entries:
    try:
        found: Any = json.loads(plain)
        entries = {(service, username): secret for service, username, secret in found}
    except (ValueError, TypeError):
        raise VaultDamaged("the vault opens, but its contents are not of this program") from None
    if not all(isinstance(text, str) for names, secret in entries.items() for text in (*names, secret)):
        raise VaultDamaged("the vault opens, but its contents are not of this program")
    return entries


def _checksum(document: VaultDocument) -> bytes:
    blank = msgspec.structs.replace(document, checksum=b"")
    return hashlib.sha256(canonical(blank)).digest()


def _where(error: Exception) -> str:
    """The place of an error, without the text there."""
    if isinstance(error, msgspec.ValidationError):
        _, at, place = str(error).rpartition(" - at ")
        return "something is missing or wrong" + (f" at {place}" if at else "")
    return "it is not JSON"
