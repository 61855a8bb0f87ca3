"""Diagnosis of a service that fails on one object again and again but works for others, to avoid hours of retries."""

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
"""This many attempts, each with the provider's own retries, must fail before a diagnosis."""


def explained(error: ProviderError, item: Item, provider: BaseProvider, cancel: CancelToken) -> ProviderError:
    """The error itself, or a final one that explains it once an object has failed often enough while the service does
    the same for another. Never raises."""
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
        _LOG.info("the service fails its check too: %s", trouble)
        return error
    return ProviderError(
        f"{item.key}: the service fails on this name every time, but not on another: {error.message}",
        hint="Rename it, or check the service's log.",
        remedies=(Remedy(Action.RETRY),),
        code=error.code,
    )


def _refuse_file_above(provider: BaseProvider, key: str) -> None:
    """Raises Conflict if a file is stored in place of a folder above the key. Some servers turn an empty folder into
    one."""
    for folder in _folders_of(key):
        try:
            provider.stat(folder)
        except NotFound:
            continue
        raise Conflict(
            f"{key}: '{folder}' is stored as a file, so nothing can be stored below it",
            hint=f"Delete '{folder}' at the service if it is not needed (some servers store empty folders as files).",
            remedies=(Remedy(Action.RETRY),),
        )


def _folders_of(key: str) -> Iterator[str]:
    parts = key.rstrip("/").split("/")
    yield from ("/".join(parts[:end]) for end in range(1, len(parts)))
