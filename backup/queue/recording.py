"""Records requests of the user in the journal, which the worker writes to as well."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from sqlite3 import Connection

from backup.handshake import presence
from backup.instances import describing
from backup.journal import Journal
from backup.model.transfers import JobKind
from backup.system.paths import Paths
from providers.engine.encryption import refuse_encryption
from providers.errors import InvalidConfiguration, ProviderError
from providers.remedies import Action, Remedy


@contextmanager
def recording(paths: Paths, journal: Journal) -> Iterator[Connection]:
    """`Journal.transaction` for front ends. A worker that is stopped during a transaction blocks all writers: the
    ProviderError then says so, and nothing was recorded."""
    try:
        with journal.transaction() as tx:
            yield tx
    except ProviderError as error:
        found = presence.look(paths)
        if error.code != "busy" or found.state is not presence.WorkerState.STOPPED:
            raise
        raise ProviderError(
            f"nothing was recorded: the worker (process {found.pid}) was stopped by a signal while writing to the "
            "journal, which blocks all other writers",
            hint=f"Resume it: kill -CONT {found.pid}; then try again.",
            code=found.state.value,
        ) from error


def refuse_unusable(paths: Paths, instance: str, kind: JobKind) -> None:
    """Raises InvalidConfiguration, or the instance's own problem, if a job of that kind cannot be queued."""
    info = describing.describe(paths, instance)
    if not info.usable:
        if info.problem:
            raise info.problem.error()
        raise InvalidConfiguration(
            f"{instance} is {info.state.value}",
            field="enabled",
            remedies=(Remedy(Action.ENABLE, instance),),
        )
    if kind is not JobKind.DELETE:
        refuse_encryption(bool(info.settings.get("encryption_enabled")))
