"""The last answer of each service: a note beside the journal, written by every process that asks, so that an instance
is not called ready while its service refuses it. It contains no secret.

If a service gave no answer (the connection is down, a rate limit), nothing is noted.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from backup.config import file as config
from backup.journal.records import Ending, Outcome
from backup.system.packing import pack, unpack
from backup.system.paths import Paths
from backup.system.private_files import exclusive_lock, private_folder, write_private
from providers.contract.report import ErrorInfo
from providers.errors import Authentication, Conflict, NotFound, PermissionDenied, ProviderError

_LOG: Final = logging.getLogger(__name__)
_NOT_OFTENER_THAN_S: Final = 60.0
_LOCK_S: Final = 1.0
_PERHAPS_OF_ALL: Final = frozenset({NotFound.kind, PermissionDenied.kind})
"""Errors of one object, or of all of them."""
_PROVED_BY_A_LOOK: Final = frozenset({Authentication.kind, NotFound.kind})
"""Once a look succeeds, the key is accepted and the container exists."""
Unusable = Callable[[], ProviderError | None]
_lock: Final = threading.Lock()
_last_notes: dict[tuple[Path, str], tuple[float, str, int]] = {}
"""The last note of this process for each instance: a transfer of many files repeats the same answer many times."""


class AnswerSource(StrEnum):
    LOOK = "look"
    TRANSFER = "transfer"
    """It wrote something, which proves more than a look."""


class LastAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """`fingerprint` is of the settings in use when the service answered (`backup.config.file.fingerprint`)."""

    at: float
    fingerprint: str
    source: AnswerSource
    error: ErrorInfo | None = None


def latest(paths: Paths) -> dict[str, LastAnswer]:
    """The last answers by instance. Never raises: an unreadable note counts as none."""
    try:
        return unpack(_file(paths).read_bytes(), dict[str, LastAnswer])
    except (OSError, ValueError):
        return {}


def version(paths: Paths) -> int:
    """A number that changes whenever something is noted."""
    return _changed_at(_file(paths))


def _known_sound() -> ProviderError | None:
    return None


@contextlib.contextmanager
def noted(
    paths: Paths, instance: str, *, listed: str | None = None, unusable: Unusable = _known_sound
) -> Iterator[None]:
    """Note how a look at the service ends. `listed` is the prefix of a listing. Only in a listing does NotFound mean
    the container, and only at the top does PermissionDenied concern the whole instance. Elsewhere either may concern
    one name, unless `unusable` (`Storage.unusable`) says that it concerns all."""
    refusals: tuple[type[ProviderError], ...] = (Authentication,)
    if listed is not None:
        refusals = (Authentication, NotFound) if listed else (Authentication, NotFound, PermissionDenied)
    try:
        yield
    except refusals as error:
        note(paths, instance, AnswerSource.LOOK, ErrorInfo.of(error))
        raise
    except (NotFound, PermissionDenied):
        if why := unusable():
            note(paths, instance, AnswerSource.LOOK, ErrorInfo.of(why))
        raise
    note(paths, instance, AnswerSource.LOOK)


def note(paths: Paths, instance: str, source: AnswerSource, error: ErrorInfo | None = None) -> None:
    """Note an answer, the same one at most once a minute. If it cannot be written it is dropped. A successful look does
    not cancel the refusal of a write."""
    now, text, settings = time.time(), f"{source}{error}", _changed_at(paths.config_file)
    before = _last_notes.get((paths.state_dir, instance))
    if before and before[1:] == (text, settings) and abs(now - before[0]) < _NOT_OFTENER_THAN_S:
        return
    _last_notes[paths.state_dir, instance] = (now, text, settings)
    file = _file(paths)
    try:
        configuration = config.load(paths)
        found = configuration.instances.get(instance)
        if found is None:
            return
        answer = LastAnswer(at=now, fingerprint=config.fingerprint(configuration, found), source=source, error=error)
        private_folder(file.parent)
        with _lock, exclusive_lock(file.with_suffix(".lock"), "the note of answers", timeout_s=_LOCK_S):
            kept = latest(paths)
            if not _outweighs(kept.get(instance), answer):
                return
            known = {name: each for name, each in kept.items() if name in configuration.instances}
            write_private(file, pack({**known, instance: answer}))
    except (OSError, Conflict, ProviderError) as problem:
        _LOG.info("an answer of %s was not noted: %s", instance, problem)


def note_outcomes(paths: Paths, instance: str, outcomes: Iterable[Outcome], unusable: Unusable = _known_sound) -> None:
    """Note the service's answers to transfers. `unusable` as in `noted`."""
    for outcome in outcomes:
        if outcome.error and outcome.error.kind == Authentication.kind:
            note(paths, instance, AnswerSource.TRANSFER, outcome.error)
        elif outcome.error and outcome.error.kind in _PERHAPS_OF_ALL:
            if why := unusable():
                note(paths, instance, AnswerSource.TRANSFER, ErrorInfo.of(why))
                return
        elif outcome.ending is Ending.DONE:
            note(paths, instance, AnswerSource.TRANSFER)


def refusal(answer: LastAnswer | None, check: config.CheckRecord | None, fingerprint: str) -> ErrorInfo | None:
    """Why the service refused the last request, of a check or otherwise; None if it did not. Answers to requests with
    other settings do not count."""
    if answer is not None and answer.fingerprint != fingerprint:
        answer = None
    failed = _failure(check) if check and not check.ok else None
    if answer is None or (check is not None and check.at > answer.at):
        return failed
    if answer.error is None and failed and answer.source is AnswerSource.LOOK and _reached_writing(check):
        return failed
    return answer.error


def _outweighs(kept: LastAnswer | None, answer: LastAnswer) -> bool:
    if kept is None or kept.error is None or kept.fingerprint != answer.fingerprint or answer.error:
        return True
    return (
        answer.source is AnswerSource.TRANSFER
        or kept.source is AnswerSource.LOOK
        or kept.error.kind in _PROVED_BY_A_LOOK
    )


def _failure(check: config.CheckRecord) -> ErrorInfo:
    found = next((step.error for step in check.steps if step.error), None)
    return found or ErrorInfo("provider", "the last check failed", "Check again to see why.")


def _reached_writing(check: config.CheckRecord | None) -> bool:
    """Whether the check had passed everything that a look proves."""
    return bool(check and check.steps and check.steps[-1].error)


def _changed_at(file: Path) -> int:
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return 0


def _file(paths: Paths) -> Path:
    return paths.state_dir / "answers.json"
