"""Refusal of encryption, which is not implemented yet."""

from __future__ import annotations

from providers.errors import Unsupported


def refuse_encryption(encryption_enabled: bool) -> None:
    """Called before anything is sent or fetched. Raises Unsupported if encryption is enabled: an upload would be
    readable by anyone, and a download would be ciphertext in place of the file.

    Listing and deleting still work: neither exposes the content of a file.
    """
    if encryption_enabled:
        raise Unsupported(
            "encryption_enabled is set, but this version can neither encrypt nor decrypt: nothing was sent or fetched",
            hint="Set encryption_enabled to false to store and fetch files as they are.",
            code="encryption",
        )
