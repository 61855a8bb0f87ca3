"""A service that fails on just one object again and again, while it is well otherwise: what to say then, instead of
trying for hours."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final

from backup.journal.records import Item
from backup.model.transfers import JobKind
from providers.base import BaseProvider
from providers.contract.cancel import CancelToken, acting_for
from providers.engine import check
from providers.errors import Conflict, NotFound, ProviderError, Transient
from providers.remedies import Action, Remedy

_LOG: Final = logging.getLogger(__name__)
_ATTEMPTS: Final = 3
"""So many attempts, each with the provider's own retries, have to end so before anything is concluded."""


def explained(error: ProviderError, item: Item, provider: BaseProvider, cancel: CancelToken) -> ProviderError:
    """The error itself; or, once it has come often enough for an object while the service does the same for another,
    one that says so and is final. Never raises."""
    if not (isinstance(error, Transient) and error.server_failed) or item.failures + 1 < _ATTEMPTS:
        return error
    try:
        with acting_for(cancel):
            if item.job_kind is JobKind.UPLOAD:
                _refuse_file_above(provider, item.key)
                check.write_read_delete(provider)
            else:
                provider.check_container()
    except Conflict as conflict:
        return conflict
    except ProviderError as trouble:
        _LOG.info("the service is not well at all: %s", trouble)
        return error
    return ProviderError(
        f"{item.key}: the service fails on this name each time, and not on another: {error.message}",
        hint="Rename it, or look into the log of the service.",
        remedies=(Remedy(Action.RETRY),),
        code=error.code,
    )


def _refuse_file_above(provider: BaseProvider, key: str) -> None:
    """Raises Conflict where a file is stored in place of a folder that the key lies in: what some servers make of an
    empty folder."""
    for folder in _folders_of(key):
        try:
            provider.stat(folder)
        except NotFound:
            continue
        raise Conflict(
            f"{key}: '{folder}' is stored as a file, so that nothing can be stored below it",
            hint=f"Delete '{folder}' at the service if it is of no use (it may be what was made of an empty folder).",
            remedies=(Remedy(Action.RETRY),),
        )


def _folders_of(key: str) -> Iterator[str]:
    parts = key.rstrip("/").split("/")
    yield from ("/".join(parts[:end]) for end in range(1, len(parts)))
