"""The state of an item after an error, and the length of its wait."""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeGuard

import msgspec

from backup.credentials import CredentialStoreError
from backup.journal import JournalFull
from backup.journal.records import Ending, Item, Outcome
from backup.journal.work import LONGEST_WAIT_S
from providers.contract.report import ErrorInfo
from providers.errors import (
    NO_DESCRIPTORS,
    Authentication,
    Cancelled,
    Integrity,
    ProviderError,
    RateLimited,
    lacks_descriptors,
    shortage,
)

MAX_FAILURES: Final = 10
"""Attempts, each with the provider's own retries, before an item fails: about 1.5 hours with the waits below."""
MAX_SLOWED: Final = 200
"""Attempts while a service asks to slow down: their waits add up to at least a day, since some limits are daily (Google
accepts 750 GB)."""
_FIRST_WAIT_S: Final = 10.0
_LONGEST_WAIT_S: Final = 900.0
_SHORTEST_ASKED_S: Final = 1.0
"""A shorter wait is ignored: a service could otherwise be asked for ever without a pause."""
_OWN_DISK: Final = frozenset(errno.errorcode.values()) - {errno.errorcode[number] for number in NO_DESCRIPTORS}
"""Codes of errors that the service did not report."""
PATIENCE_S: Final = 60.0
"""A longer wait requested by a service is recorded in the journal, and holds no connection."""


@dataclass(frozen=True, kw_only=True)
class Chances:
    """Time and chance, replaceable in tests."""

    now: Callable[[], float] = time.time
    clock: Callable[[], float] = time.monotonic
    uniform: Callable[[float, float], float] = random.uniform


def judge(error: ProviderError, item: Item, chances: Chances) -> Outcome:
    """The outcome of an item after an error.

    Rejected credentials, or a store that gives none: it waits until they change. An error that may pass: it waits,
    longer each time, and fails after MAX_FAILURES attempts, or MAX_SLOWED. A file that changed while it was read, or a
    checksum mismatch: one fresh attempt. A full journal does not count against the item. Anything else: it failed.
    """
    info = ErrorInfo.of(error)
    if asked_for(error) or lacks_descriptors(error):  # never counts as a failure
        until = chances.now() + backoff_s(item.failures, error, chances)
        return Outcome(item_id=item.id, ending=Ending.WAITING, error=info, wait_until=until)
    if isinstance(error, (Cancelled, JournalFull)):
        return Outcome(item_id=item.id, ending=Ending.STOPPED)
    if waits_for_credentials(error):
        return Outcome(item_id=item.id, ending=Ending.WAITING, error=info)
    if isinstance(error, Integrity) and item.failures == 0:
        return Outcome(
            item_id=item.id, ending=Ending.WAITING, error=info, wait_until=chances.now(), counts_as_failure=True
        )
    slowed = isinstance(error, RateLimited)
    if error.retryable and item.failures + 1 < (MAX_SLOWED if slowed else MAX_FAILURES):
        until = chances.now() + backoff_s(item.failures, error, chances)
        return Outcome(item_id=item.id, ending=Ending.WAITING, error=info, wait_until=until, counts_as_failure=True)
    if slowed:  # its hint says that it goes on by itself
        info = msgspec.structs.replace(info, hint="The service has asked to slow down for over a day: retry later.")
    return Outcome(item_id=item.id, ending=Ending.FAILED, error=info, counts_as_failure=True)


def waits_for_credentials(error: ProviderError) -> bool:
    return isinstance(error, (Authentication, CredentialStoreError))


def says_of_all(error: ErrorInfo | None) -> TypeGuard[ErrorInfo]:
    """Whether other items may fail alike: not if a file or disk of this machine failed, such as a bad sector."""
    return error is not None and error.code not in _OWN_DISK


def backoff_s(failures: int, error: ProviderError, chances: Chances) -> float:
    """Between half and all of 10 s * 2**failures, at most 15 minutes. If the service asked for a wait: that, at most an
    hour."""
    if asked_for(error):
        return min(error.retry_after_s or 0.0, LONGEST_WAIT_S)
    longest = min(_FIRST_WAIT_S * 2.0**failures, _LONGEST_WAIT_S)
    return chances.uniform(longest / 2, longest)


def asked_for(error: ProviderError) -> bool:
    """Whether the service asked for a wait of a given length."""
    asked_s = error.retry_after_s
    return error.retryable and asked_s is not None and asked_s >= _SHORTEST_ASKED_S  # NaN is not


def judge_any(error: Exception, item: Item, chances: Chances) -> Outcome:
    """As `judge`, also for exceptions that nothing foresees: the item failed."""
    known = error if isinstance(error, ProviderError) else shortage(error)
    if known:
        return judge(known, item, chances)
    return Outcome(item_id=item.id, ending=Ending.FAILED, error=unforeseen(error))


def unforeseen(error: Exception) -> ErrorInfo:
    """The error shown for an unexpected exception: its text may contain anything, so it only goes to the log."""
    return ErrorInfo("provider", f"internal error ({type(error).__name__})", "The worker's log file has the details.")
