"""A string that is never shown by accident."""

from __future__ import annotations

from typing import Final

MASK: Final = "••••••"


class Secret:
    """Holds a secret; `reveal()` is the only way to read it.

    `str`, `repr` and `format` show a mask, and pickling fails. Equality is by value.
    """

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text

    def reveal(self) -> str:
        """The secret text. Pass it straight to the SDK or keyring call that needs it; do not keep it."""
        return self.__text

    def __bool__(self) -> bool:
        return bool(self.__text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.__text == self.__text

    def __hash__(self) -> int:
        return hash((Secret, self.__text))

    def __repr__(self) -> str:
        return f"Secret({MASK!r})" if self.__text else "Secret('')"

    def __str__(self) -> str:
        return MASK if self.__text else ""

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled")
