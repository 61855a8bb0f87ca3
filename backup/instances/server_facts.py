"""Facts discovered about servers, remembered across processes."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from backup.handshake.takeover import open_journal
from backup.journal import Journal
from backup.system.packing import pack, unpack
from backup.system.paths import Paths
from providers.errors import ProviderError

_LOG: Final = logging.getLogger(__name__)


class FactsOnDisk:
    """`providers.contract.context.Facts` in the journal file. A fact that cannot be written is discovered again.

    Without a `journal` the file is opened for each fact alone, so that nothing stays open, however the process ends.
    """

    def __init__(self, paths: Paths, journal: Journal | None = None) -> None:
        self._paths = paths
        self._journal = journal

    def recall(self, key: str) -> dict[str, Any] | None:
        try:
            with self._open() as journal, journal.look() as db:
                row = db.execute("SELECT fact FROM facts WHERE key = ?", (key,)).fetchone()
        except ProviderError as error:
            _LOG.warning("facts cannot be read: %s", error)
            return None
        return None if row is None else unpack(row["fact"], dict[str, Any])

    def remember(self, key: str, fact: dict[str, Any]) -> None:
        try:
            with self._open() as journal, journal.transaction(quiet=True) as tx:
                tx.execute("INSERT OR REPLACE INTO facts (key, fact) VALUES (?, ?)", (key, pack(fact)))
        except ProviderError as error:
            _LOG.warning("a fact cannot be kept: %s", error)

    def _open(self) -> AbstractContextManager[Journal]:
        return nullcontext(self._journal) if self._journal else open_journal(self._paths)[0]
