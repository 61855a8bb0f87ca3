"""Writing what the user wants into the journal, which the worker writes into too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from sqlite3 import Connection

from backup.handshake import presence
from backup.journal import Journal
from backup.system.paths import Paths
from providers.errors import ProviderError


@contextmanager
def recording(paths: Paths, journal: Journal) -> Iterator[Connection]:
    """`Journal.transaction`, for front ends. A worker that is stopped in the middle of one keeps everybody from
    writing: the ProviderError says so, and nothing was recorded."""
    try:
        with journal.transaction() as tx:
            yield tx
    except ProviderError as error:
        found = presence.look(paths)
        if error.code != "busy" or found.state is not presence.WorkerState.STOPPED:
            raise
        raise ProviderError(
            f"nothing was recorded: the worker (process {found.pid}) was stopped by a signal while it writes into the "
            "journal, and nobody else can",
            hint=f"Let it go on: kill -CONT {found.pid}; then try again.",
            code=found.state.value,
        ) from error
