"""Encryption that is asked for and not there yet."""

from __future__ import annotations

from providers.errors import Unsupported


def refuse_encryption(encryption_enabled: bool) -> None:
    """Before anything is sent or fetched. Raises Unsupported when encryption is switched on: what went up would be
    readable by everybody, and what came down would be ciphertext that passes as the file.

    Listing and deleting go on: neither shows what is in a file.
    """
    if encryption_enabled:
        raise Unsupported(
            "encryption_enabled is set, and this version can neither encrypt nor decrypt: nothing was sent or fetched",
            hint="Set encryption_enabled to false to store and fetch files as they are.",
            code="encryption",
        )
