"""A digest that compares two sets of names without keeping them."""

from __future__ import annotations

import hashlib
from typing import Final

from backup.system.packing import to_bytes

_BYTES: Final = 16


class NameDigest:
    """The sum of the names' digests, so that their order does not matter."""

    def __init__(self) -> None:
        self._sum = 0

    def add(self, name: str | bytes) -> None:
        data = name if isinstance(name, bytes) else to_bytes(name)
        self._sum += int.from_bytes(hashlib.blake2b(data, digest_size=_BYTES).digest(), "big")

    @property
    def text(self) -> str:
        return f"{self._sum % (1 << (8 * _BYTES)):0{2 * _BYTES}x}"
