"""Shared by the tests of the vault: cheap passphrases, and edits of the file without a key."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from backup.credentials.vault_file import format as fmt
from backup.credentials.vault_file.file import DataKey, VaultFile
from backup.credentials.vault_file.slots import KdfCost, canonical
from providers.secret import Secret

CHEAP = KdfCost(operations=1, memory_bytes=8192)
PASSPHRASE = Secret("four words by chance")


def vault_at(folder: Path, **options: Any) -> VaultFile:
    return VaultFile(folder / "vault" / "vault.json", cost=CHEAP, **options)


def new_vault(folder: Path) -> tuple[VaultFile, DataKey]:
    vault = vault_at(folder)
    return vault, vault.create(PASSPHRASE, label="mine")


def forge(vault: VaultFile, change: Callable[[fmt.VaultDocument], fmt.VaultDocument]) -> bytes:
    """Edit the file as an attacker who knows the format but no key: the checksum fits. Returns what was written."""
    document = change(msgspec.json.decode(vault.path.read_bytes(), type=fmt.VaultDocument))
    document = msgspec.structs.replace(document, checksum=b"")
    document = msgspec.structs.replace(document, checksum=hashlib.sha256(canonical(document)).digest())
    data = msgspec.json.encode(document)
    vault.path.write_bytes(data)
    return data


def header_with(**changes: Any) -> Callable[[fmt.VaultDocument], fmt.VaultDocument]:
    return lambda document: msgspec.structs.replace(
        document, header=msgspec.structs.replace(document.header, **changes)
    )


def first_slot_with(**changes: Any) -> Callable[[fmt.VaultDocument], fmt.VaultDocument]:
    def change(document: fmt.VaultDocument) -> fmt.VaultDocument:
        first, *rest = document.header.slots
        return header_with(slots=(msgspec.structs.replace(first, **changes), *rest))(document)

    return change
