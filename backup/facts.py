"""What was learnt about servers, remembered across processes."""

from __future__ import annotations

import logging
from typing import Any, Final

from backup.journal import Journal
from backup.packing import pack, unpack
from backup.paths import Paths
from providers.errors import ProviderError

_LOG: Final = logging.getLogger(__name__)


class FactsOnDisk:
    """`providers.context.Facts` in the journal's file. A fact that cannot be written down is only learnt again."""

    def __init__(self, paths: Paths, journal: Journal | None = None) -> None:
        self._path = paths.journal_file
        self._journal = journal

    def recall(self, key: str) -> dict[str, Any] | None:
        try:
            with self._open().look() as db:
                row = db.execute("SELECT fact FROM facts WHERE key = ?", (key,)).fetchone()
        except ProviderError as error:
            _LOG.warning("facts cannot be read: %s", error)
            return None
        return None if row is None else unpack(row["fact"], dict[str, Any])

    def remember(self, key: str, fact: dict[str, Any]) -> None:
        try:
            with self._open().transaction(quiet=True) as tx:
                tx.execute("INSERT OR REPLACE INTO facts (key, fact) VALUES (?, ?)", (key, pack(fact)))
        except ProviderError as error:
            _LOG.warning("a fact cannot be kept: %s", error)

    def _open(self) -> Journal:
        if self._journal is None:
            self._journal = Journal(self._path)
        return self._journal
