"""Differences between a job and its plan: names listed twice, and files that came or went meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from sqlite3 import Connection

from backup.files.name_digest import NameDigest
from backup.journal import jobs, resized
from backup.journal.records import Job, NewItem
from backup.model.transfers import JobKind
from backup.system.text import count, listed
from providers.contract.report import ErrorInfo
from providers.errors import Conflict


class Differences:
    """The differences of one scan. Items added by an earlier, interrupted scan of the job do not count."""

    def __init__(self, job: Job, newest_before: int) -> None:
        """`newest_before`: the newest item in the journal when the scan began."""
        self._job = job
        self._newest_before = newest_before
        self._twice: Counter[str] = Counter()
        self._one_file: dict[str, tuple[str, str]] = {}

    def add(self, tx: Connection, batch: list[NewItem], *, now: float) -> None:
        """Add what a scan found to the job, and note what the job already has."""
        newest = jobs.newest_item(tx)
        if jobs.add_items(tx, self._job, batch, now=now) == len(batch):
            return
        seen: set[str] = set()
        for item in batch:
            found = jobs.item_of_name(tx, self._job.id, item.name)
            again = item.name in seen or (found is not None and self._newest_before < found[0] <= newest)
            seen.add(item.name)
            if not again or found is None:
                continue
            if found[1] != item.key:
                self._one_file.setdefault(item.name, (found[1], item.key))
            elif not self._was_chosen_twice(item.key):
                self._twice[item.key] += 1

    def _was_chosen_twice(self, key: str) -> bool:
        """Whether several chosen sources cover the key: then one transfer is what the user asked for."""
        covers = [source for source in self._job.order.sources if source in {key, "/"} or _holds(source, key)]
        return len(covers) > 1

    def error(self, tx: Connection) -> ErrorInfo | None:
        """The error that the job ends with; None if everything is as planned."""
        texts = [*self._names(), *self._number(tx)]
        if not texts:
            return None
        return ErrorInfo.of(Conflict("; ".join(texts), hint=resized.HINT))

    def _names(self) -> Iterable[str]:
        if self._twice:
            names = listed(list(self._twice))
            yield f"{count(self._twice.total(), 'name')} listed more than once, used once: {names}"
        if self._one_file:
            names = listed([f"'{first}' and '{second}'" for first, second in self._one_file.values()])
            yield f"these would be the same file here, so only the first is used: {names}"

    def _number(self, tx: Connection) -> Iterable[str]:
        planned = self._job.order.planned
        if planned is None:
            return
        found = jobs.files_of(tx, self._job.id)
        if found != planned.files and (planned.complete or found < planned.files):
            least = "" if planned.complete else "at least "
            yield f"{least}{count(planned.files, 'file')} planned, {found:,} found when it began"
        elif planned.complete and planned.digest and planned.digest != self._digest(tx):
            files = count(planned.files, "file")
            yield f"{files} planned, and as many found when it began, but not the same: names were added and removed"
        elif planned.size_bytes is not None and self._job.order.kind is not JobKind.DELETE:
            words = resized.note_found(tx, self._job.id, planned.size_bytes, complete=planned.complete)
            if words:
                yield words

    def _digest(self, tx: Connection) -> str:
        digest = NameDigest()
        for key in jobs.keys_of_files(tx, self._job.id):
            digest.add(key)
        return digest.text


def _holds(folder: str, key: str) -> bool:
    return folder.endswith("/") and key.startswith(folder)
