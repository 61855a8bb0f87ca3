"""One item over a service in memory: use of our own history, and deletes in groups."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pytest

from backup.journal import Journal, items, jobs
from backup.journal.checkpoints import commit_alone
from backup.journal.records import Destination, Ending, Item, Job, JobRequest, NewItem, Outcome
from backup.model.transfers import Conflicts, JobKind
from backup.worker.items.transfer import Chances, Transfer, delete_many
from providers.contract.cancel import CancelToken, active_token
from providers.contract.context import ProviderContext
from providers.contract.objects import RemoteFile
from providers.errors import Cancelled, Integrity, NotFound, ProviderError, Transient
from tests.providers.memory import MemoryProvider, MemoryStore

PLACE = Destination(instance="m", type="memory", container="", settings="{}", location="memory")
OLD_MTIME_S = 1_600_000_000


class Watched:
    def moved(self, bytes_done: int, bytes_total: int) -> None:
        """Unused."""

    def verifying(self) -> None:
        """Unused."""


class WithoutDigests(MemoryProvider):
    """Stores its own mtimes, and reports no checksums."""

    def _describe(self, key: str, checksums: Mapping[str, str] | None = None) -> RemoteFile:
        return msgspec.structs.replace(super()._describe(key, checksums), checksums={}, modified_at=1.0)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.sqlite") as opened:
        yield opened


@pytest.fixture
def provider() -> MemoryProvider:
    return WithoutDigests(MemoryStore(), context=ProviderContext(sleep=lambda seconds, cancel: None))


def carry_out(journal: Journal, provider: MemoryProvider, order: JobRequest, item: NewItem) -> Outcome:
    with journal.transaction() as tx:
        job: Job = jobs.job(tx, jobs.add_job(tx, order, PLACE, title="t", destination="/", now=1.0))
        jobs.add_items(tx, job, [item], now=1.0)
        claimed: Item = items.claim(tx, "m", 1, now=1.0)[0]
    outcome = Transfer(
        provider=provider,
        journal=journal,
        commit=commit_alone(journal),
        item=claimed,
        job=job,
        watcher=Watched(),
        cancel=CancelToken(),
    ).run()
    with journal.transaction() as tx:
        items.end(tx, outcome, now=2.0)
    return outcome


def upload(journal: Journal, provider: MemoryProvider, path: Path, conflicts: Conflicts) -> Outcome:
    order = JobRequest(kind=JobKind.UPLOAD, sources=(str(path),), conflicts=conflicts)
    size = path.stat().st_size
    return carry_out(
        journal, provider, order, NewItem(name="x", key="x", local_path=str(path), size_bytes=size, replaces=None)
    )


def test_a_touched_file_is_unchanged_by_our_history(journal: Journal, provider: MemoryProvider, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    assert upload(journal, provider, path, Conflicts.REPLACE).ending is Ending.DONE
    os.utime(path, (OLD_MTIME_S, OLD_MTIME_S))
    assert upload(journal, provider, path, Conflicts.SKIP_UNCHANGED).ending is Ending.SKIPPED
    path.write_bytes(b"CONTENT")
    assert upload(journal, provider, path, Conflicts.SKIP_UNCHANGED).ending is Ending.DONE
    provider.store.objects["x"] = b"strange"  # another program changed it: history does not cover that object
    assert upload(journal, provider, path, Conflicts.SKIP_UNCHANGED).ending is Ending.DONE
    assert provider.store.objects["x"] == b"CONTENT"


def test_a_download_is_compared_with_our_history_while_the_object_is_the_same(
    journal: Journal, provider: MemoryProvider, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    upload(journal, provider, path, Conflicts.REPLACE)
    target = tmp_path / "down" / "x"
    target.parent.mkdir()
    order = JobRequest(kind=JobKind.DOWNLOAD, sources=("x",), to=str(target), exact=True)
    item = NewItem(name="x", key="x", local_path=str(target), size_bytes=7)
    assert carry_out(journal, provider, order, item).proof == "matched"  # the service itself reports no checksum
    etag = provider.stat("x").etag
    with journal.transaction() as tx:
        tx.execute("UPDATE objects SET sha256 = ? WHERE etag = ?", ("f" * 64, etag))
    target.unlink()
    outcome = carry_out(journal, provider, order, item)
    assert outcome.error is not None
    assert outcome.error.kind == "integrity"
    assert not target.exists()


def test_history_proves_a_download_even_if_the_etag_changed(
    journal: Journal, provider: MemoryProvider, tmp_path: Path
) -> None:
    """After a disk was copied or a bucket moved: same bytes, other ETags."""
    path = tmp_path / "file"
    path.write_bytes(b"content")
    upload(journal, provider, path, Conflicts.REPLACE)
    with journal.transaction() as tx:
        tx.execute("UPDATE objects SET etag = 'of another time'")
    order = JobRequest(kind=JobKind.DOWNLOAD, sources=("x",), to=str(tmp_path / "x"), exact=True)
    item = NewItem(name="x", key="x", local_path=str(tmp_path / "x"), size_bytes=7)
    assert carry_out(journal, provider, order, item).proof == "matched"
    provider.store.objects["x"] = b"CONTENT"
    assert carry_out(journal, provider, order, item).proof == "read_twice", "somebody else's, as far as we know"


def test_history_applies_to_one_place_and_one_object(
    journal: Journal, provider: MemoryProvider, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    done = upload(journal, provider, path, Conflicts.REPLACE)
    other = msgspec.structs.replace(PLACE, instance="n", location="another")
    with journal.transaction() as tx:
        jobs.add_job(tx, JobRequest(kind=JobKind.UPLOAD, sources=("/x",)), other, title="t", destination="/", now=1.0)
        here, there = (row["id"] for row in tx.execute("SELECT id FROM places ORDER BY id"))
        known = {
            (place, etag, size): items.known_sha256(tx, place, "x", etag=etag, size_bytes=size)
            for place, etag, size in [
                (here, done.etag, 7),
                (there, done.etag, 7),
                (here, "e", 7),
                (here, "", 7),
            ]
        }
        with pytest.raises(Integrity, match="8 bytes, but this same version had 7"):
            items.known_sha256(tx, here, "x", etag=done.etag, size_bytes=8)
    assert known.pop((here, done.etag, 7)) == done.sha256
    assert set(known.values()) == {""}


def claimed(*keys: str) -> list[Item]:
    return [
        msgspec.convert(
            {
                "id": number,
                "job_id": 1,
                "place_id": 1,
                "instance": "m",
                "job_kind": "delete",
                "kind": "file",
                "name": key,
                "key": key,
                "local_path": "",
                "size_bytes": 1,
                "bytes_done": 0,
                "attempts": 1,
                "failures": 0,
                "replaces": None,
                "begun": False,
            },
            Item,
        )
        for number, key in enumerate(keys)
    ]


def test_only_deletes_that_may_still_succeed_are_retried() -> None:
    asked: list[list[str]] = []

    class Provider(MemoryProvider):
        def remove_many(self, keys: list[str]) -> dict[str, ProviderError]:
            asked.append(keys)
            trouble: dict[str, ProviderError] = {"never": NotFound("gone")}
            if len(asked) < 3:
                trouble["late"] = Transient("busy")
            return {key: trouble[key] for key in keys if key in trouble}

    provider = Provider(MemoryStore(), context=ProviderContext(sleep=lambda seconds, cancel: None))
    outcomes = delete_many(provider, claimed("at once", "late", "never"), CancelToken(), Chances())
    assert [outcome.ending for outcome in outcomes] == [Ending.DONE, Ending.DONE, Ending.FAILED]
    assert asked == [["at once", "late", "never"], ["late"], ["late"]]


def test_a_cancel_ends_hanging_deletes() -> None:
    cancel = CancelToken()
    interrupted: list[str] = []

    class Provider(MemoryProvider):
        def remove_many(self, keys: list[str]) -> dict[str, ProviderError]:
            token = active_token()
            assert token is cancel
            with token.calling(lambda: interrupted.append("broken off")):
                cancel.cancel()
            raise Transient("interrupted")

    outcomes = delete_many(Provider(MemoryStore()), claimed("a", "b"), cancel, Chances())
    assert interrupted == ["broken off"]
    assert [outcome.ending for outcome in outcomes] == [Ending.STOPPED, Ending.STOPPED]
    with pytest.raises(Cancelled):
        cancel.check()


def test_a_missing_object_is_reported_gone(
    journal: Journal, provider: MemoryProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """History then forgets it, unless the container or a folder of ours is missing."""
    order = JobRequest(kind=JobKind.DOWNLOAD, sources=("x",), to=str(tmp_path / "x"), exact=True)
    item = NewItem(name="x", key="x", local_path=str(tmp_path / "x"), size_bytes=7)
    assert carry_out(journal, provider, order, item).gone
    (deleted,) = delete_many(provider, claimed("x"), CancelToken(), Chances())
    assert (deleted.ending, deleted.gone) == (Ending.FAILED, True)

    def no_container() -> str:
        raise NotFound("the container is not there")

    with monkeypatch.context() as patched:
        patched.setattr(provider, "check_container", no_container)
        assert not carry_out(journal, provider, order, item).gone
    provider.store.objects["x"] = b"content"
    (tmp_path / "file").write_bytes(b"no folder")
    astray = msgspec.structs.replace(order, to=str(tmp_path / "file" / "x"))
    failed = carry_out(journal, provider, astray, item)
    assert failed.ending is Ending.FAILED
    assert not failed.gone
