"""rclone's obscured passwords: AES-256-CTR under a key published in its source, so only a protection against shoulder
surfing (rclone fs/config/obscure/obscure.go). Needed to import its passwords, and to write passwords that it reads.
"""

from __future__ import annotations

import base64
import binascii
import os
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from providers.errors import InvalidConfiguration
from providers.secret import Secret

_PUBLIC_KEY: Final = bytes.fromhex("9c935b48730a554d6bfd7c63c886a92bd390198eb8128afbf4de162b8b95f638")
_BLOCK_BYTES: Final = 16


def reveal(obscured: str) -> Secret:
    """The password in clear. Raises InvalidConfiguration, which never repeats the text."""
    try:
        data = base64.b64decode(obscured.encode("ascii") + b"=" * (-len(obscured) % 4), altchars=b"-_", validate=True)
        if len(data) < _BLOCK_BYTES:
            raise ValueError("too short")
        return Secret(_stream(data[:_BLOCK_BYTES], data[_BLOCK_BYTES:]).decode("utf-8"))
    except (binascii.Error, ValueError):
        raise InvalidConfiguration(
            "a password is not in rclone's obscured form",
            hint="Take it from `rclone config dump`, not from a file edited by hand.",
        ) from None


def obscure(password: Secret, *, start: bytes | None = None) -> str:
    """As `rclone obscure`. `start` is the first counter block; random by default."""
    start = os.urandom(_BLOCK_BYTES) if start is None else start
    data = start + _stream(start, password.reveal().encode("utf-8"))
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _stream(start: bytes, data: bytes) -> bytes:
    cipher = Cipher(algorithms.AES(_PUBLIC_KEY), modes.CTR(start)).encryptor()
    return cipher.update(data) + cipher.finalize()
