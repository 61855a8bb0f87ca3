"""Discovered facts about a server, with their age. Servers are updated, moved and reconfigured, so facts expire."""

from __future__ import annotations

from typing import Any, Final

from providers.contract.context import ProviderContext

MAX_AGE_S: Final = 30 * 86400.0
"""A fact older than this is forgotten and discovered again."""
_LEARNT_AT: Final = "learnt_at"
_CLOCKS_DIFFER_S: Final = 86400.0


class AgedFact:
    """One fact of `context.facts`, by key."""

    def __init__(self, context: ProviderContext, key: str) -> None:
        self._context = context
        self._key = key
        self._fact: dict[str, Any] | None = None
        self._good_until = 0.0

    def recall(self) -> dict[str, Any] | None:
        """None if the fact is unknown, too old, dated in the future or undated. Returns the same object as long as
        nothing changes."""
        if self._fact is None or self._context.clock() >= self._good_until:
            self._take(self._context.facts.recall(self._key))
        return self._fact

    def remember(self, fact: dict[str, Any]) -> None:
        dated = {**fact, _LEARNT_AT: self._context.now()}
        self._context.facts.remember(self._key, dated)
        self._take(dated)

    def _take(self, fact: dict[str, Any] | None) -> None:
        learnt_at = None if fact is None else fact.get(_LEARNT_AT)
        age_s = self._context.now() - learnt_at if isinstance(learnt_at, (int, float)) else MAX_AGE_S
        self._fact = fact if -_CLOCKS_DIFFER_S < age_s < MAX_AGE_S else None
        self._good_until = self._context.clock() + MAX_AGE_S - max(0.0, age_s)
