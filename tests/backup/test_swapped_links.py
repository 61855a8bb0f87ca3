"""Replacements of a file or folder between scan and transfer are never followed and never waited for."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backup.files import local, scan
from backup.files.targets import folds_names
from backup.journal import Journal, items, jobs
from backup.journal.checkpoints import commit_alone
from backup.journal.records import Destination, Ending, JobRequest, NewItem, Outcome
from backup.model.transfers import Conflicts, ItemKind, JobKind
from backup.worker.items.transfer import Transfer
from backup.worker.scan.new_items import Local, upload_item
from providers.contract.cancel import CancelToken
from providers.contract.context import ProviderContext
from providers.errors import Conflict, PermissionDenied, ProviderError, QuotaExceeded, Transient
from providers.filesystem import beneath
from tests.backup.test_transfer import Watched
from tests.providers.memory import MemoryProvider, MemoryStore, failing

PLACE = Destination(instance="m", type="memory", container="", settings="{}", location="memory")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.sqlite") as opened:
        yield opened


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """home/docs/sub/file, and outside of it a file that must not be reached."""
    tree = tmp_path / "home" / "docs"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "file").write_bytes(b"mine")
    (tmp_path / "secret" / "sub").mkdir(parents=True)
    for name in ("secret/file", "secret/sub/file"):
        (tmp_path / name).write_bytes(b"shadow")
    return tree


def attempt(journal: Journal, store: MemoryStore, order: JobRequest, item: NewItem) -> Outcome:
    provider = MemoryProvider(store, context=ProviderContext(sleep=lambda seconds, cancel: None))
    provider.can = msgspec.structs.replace(provider.can, empty_directories=True)
    with journal.transaction() as tx:
        job = jobs.job(tx, jobs.add_job(tx, order, PLACE, title="t", destination="/", now=1.0))
        jobs.add_items(tx, job, [item], now=1.0)
        (claimed,) = items.claim(tx, "m", 1, now=1.0)
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


def sent(journal: Journal, store: MemoryStore, chosen: Path, swap: Callable[[], Any], **order: Any) -> Outcome:
    """The outcome of the one file below `chosen` if `swap` happens between its scan and its transfer."""
    given = JobRequest(kind=JobKind.UPLOAD, sources=(str(chosen),), **order)
    with journal.transaction() as tx:
        job = jobs.job(tx, jobs.add_job(tx, given, PLACE, title="t", destination="/", now=1.0))
    walked = scan.walk_local(given.sources, resolved=given.resolved)
    (found,) = [upload_item(job, Local(each, None)) for batch in walked for each in batch]
    swap()
    return attempt(journal, store, given, found)


def replaced(path: Path, make: Callable[[Path], Any]) -> Callable[[], None]:
    def swap() -> None:
        path.rename(path.with_name("away"))
        make(path)

    return swap


def bind(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))


@pytest.mark.parametrize("resolved", [False, True])
@pytest.mark.parametrize("conflicts", [Conflicts.REPLACE, Conflicts.SKIP_UNCHANGED])
@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.symlink_to(path.parents[3] / "secret" / "file"),
        lambda path: path.symlink_to("away"),
        os.mkfifo,
        os.mkdir,
        bind,
    ],
    ids=["link-outside", "link-inside", "pipe", "folder", "socket"],
)
def test_a_file_that_became_something_else(
    journal: Journal,
    store: MemoryStore,
    tree: Path,
    make: Callable[[Path], Any],
    conflicts: Conflicts,
    resolved: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tree / "sub")  # a socket's path is short
    store.objects["docs/sub/file"] = b"mine"
    swap = replaced(Path(tree, "sub", "file"), make if make is not bind else lambda path: bind(Path(path.name)))
    outcome = sent(journal, store, tree, swap, conflicts=conflicts, resolved=resolved)
    assert (outcome.ending, outcome.error and outcome.error.kind) == (Ending.FAILED, "name")
    assert store.objects == {"docs/sub/file": b"mine"}


@pytest.mark.parametrize("resolved", [False, True])
@pytest.mark.parametrize("swapped", ["docs/sub", "docs"])
def test_a_folder_that_became_a_link(
    journal: Journal, store: MemoryStore, tree: Path, tmp_path: Path, swapped: str, resolved: bool
) -> None:
    """`resolved` False: queued by an earlier version, with only the path known."""
    folder = tree.parent / swapped
    swap = replaced(folder, lambda path: path.symlink_to(tmp_path / "secret"))
    outcome = sent(journal, store, tree, swap, resolved=resolved)
    assert (outcome.ending, outcome.error and outcome.error.kind) == (Ending.FAILED, "name")
    assert outcome.error is not None
    assert "symbolic link" in outcome.error.message
    assert not store.objects


def test_a_folder_above_what_was_chosen_that_became_a_link(
    journal: Journal, store: MemoryStore, tree: Path, tmp_path: Path
) -> None:
    swap = replaced(tree, lambda path: path.symlink_to(tmp_path / "secret"))
    outcome = sent(journal, store, tree / "sub" / "file", swap, resolved=True)
    assert (outcome.ending, outcome.error and outcome.error.kind) == (Ending.FAILED, "name")
    assert not store.objects


def test_a_chosen_file_that_became_a_link(journal: Journal, store: MemoryStore, tree: Path, tmp_path: Path) -> None:
    swap = replaced(tree / "sub" / "file", lambda path: path.symlink_to(tmp_path / "secret" / "file"))
    assert sent(journal, store, tree / "sub" / "file", swap).ending is Ending.FAILED
    assert not store.objects


def test_links_that_existed_when_the_job_was_queued_are_followed(
    journal: Journal, store: MemoryStore, tree: Path, tmp_path: Path
) -> None:
    (tmp_path / "alias").symlink_to(tree)
    named = local.resolved(str(tmp_path / "alias" / "sub"))
    assert named == str(tree / "sub")
    assert sent(journal, store, Path(named), lambda: None, resolved=True).ending is Ending.DONE
    assert sent(journal, store, tmp_path / "alias" / "sub", lambda: None).ending is Ending.DONE
    assert local.resolved(str(tmp_path / "alias")) == str(tmp_path / "alias"), "a link itself stays one"


def test_an_empty_folder_that_became_a_link_reveals_nothing(
    journal: Journal, store: MemoryStore, tree: Path, tmp_path: Path
) -> None:
    (tree / "sub" / "file").unlink()
    swap = replaced(tree / "sub", lambda path: path.symlink_to(tmp_path / "secret"))
    outcome = sent(journal, store, tree, swap)
    assert (outcome.ending, outcome.error and outcome.error.kind) == (Ending.FAILED, "name")
    assert not store.objects


def test_a_file_swapped_between_stat_and_open(
    journal: Journal, store: MemoryStore, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swap = replaced(tree / "sub" / "file", lambda path: path.symlink_to(tmp_path / "secret" / "file"))
    real = os.open

    def opening(path: Any, flags: int, *args: Any, **more: Any) -> int:
        if path == "file" and not (tree / "sub" / "file").is_symlink():
            swap()
        return real(path, flags, *args, **more)

    monkeypatch.setattr(os, "open", opening)
    outcome = sent(journal, store, tree, lambda: None)
    assert (outcome.ending, outcome.error and outcome.error.kind) == (Ending.FAILED, "name")
    assert not store.objects


def test_a_folder_swapped_while_the_scan_runs_is_not_entered(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = beneath.Way.go

    def go(way: beneath.Way, names: tuple[bytes, ...]) -> None:
        if names == (b"sub",) and not (tree / "sub").is_symlink():
            replaced(tree / "sub", lambda path: path.symlink_to(tmp_path / "secret"))()
        real(way, names)

    monkeypatch.setattr(beneath.Way, "go", go)
    found = {each.name: each.kind for batch in scan.walk_local([tree]) for each in batch}
    assert found == {"docs/sub": ItemKind.SYMLINK}


def test_a_tree_whose_top_is_swapped_before_its_scan_is_a_link(tree: Path, tmp_path: Path) -> None:
    shutil.rmtree(tree)
    tree.symlink_to(tmp_path / "secret")
    for resolved in (False, True):
        (found,) = [each for batch in scan.walk_local([tree], resolved=resolved) for each in batch]
        assert found.kind is ItemKind.SYMLINK
    (found,) = [each for batch in scan.walk_local([tree / "sub"], resolved=True) for each in batch]
    assert found.error is not None
    assert found.error.kind == "name"


# Downloads


def fetched(journal: Journal, store: MemoryStore, to: Path, swap: Callable[[], Any], **order: Any) -> Outcome:
    store.objects["docs/sub/file"] = b"stored"
    given = JobRequest(kind=JobKind.DOWNLOAD, sources=("docs/",), to=str(to), **order)
    name = "docs/sub/file"
    swap()
    return attempt(journal, store, given, NewItem(name=name, key=name, local_path=str(to / name)))


@pytest.mark.parametrize("resolved", [False, True])
def test_a_download_writes_through_no_link_below_its_folder(
    journal: Journal, store: MemoryStore, tree: Path, tmp_path: Path, resolved: bool
) -> None:
    swap = replaced(tree / "sub", lambda path: path.symlink_to(tmp_path / "secret"))
    outcome = fetched(journal, store, tree.parent, swap, resolved=resolved)
    assert (outcome.ending, outcome.error and outcome.error.kind) == (Ending.FAILED, "name")
    assert sorted(path.name for path in (tmp_path / "secret").iterdir()) == ["file", "sub"]
    assert (tmp_path / "secret" / "file").read_bytes() == b"shadow"


def test_a_download_writes_through_no_link_even_if_the_chosen_folder_became_one(
    journal: Journal, store: MemoryStore, tree: Path, tmp_path: Path
) -> None:
    swap = replaced(tree.parent, lambda path: path.symlink_to(tmp_path / "secret"))
    outcome = fetched(journal, store, tree.parent, swap, resolved=True)
    assert (outcome.ending, outcome.error and outcome.error.kind) == (Ending.FAILED, "name")
    assert not (tmp_path / "secret" / "docs").exists()


def test_testing_which_names_the_disk_can_hold_follows_no_new_link(tree: Path, tmp_path: Path) -> None:
    replaced(tree, lambda path: path.symlink_to(tmp_path / "secret"))()
    before = (tmp_path / "secret").stat().st_mtime_ns
    assert not folds_names(tree, Path("/"))
    assert (tmp_path / "secret").stat().st_mtime_ns == before
    assert not folds_names(tree.parent / "new", Path("/"))
    assert list((tree.parent / "new").iterdir()) == []


@pytest.mark.parametrize("moment", ["chunk", "read"])
def test_a_folder_swapped_during_the_download(
    journal: Journal, store: MemoryStore, tree: Path, tmp_path: Path, moment: str
) -> None:
    swap = replaced(tree / "sub", lambda path: path.symlink_to(tmp_path / "secret" / "sub"))
    store.trouble = lambda call, about: swap() if call == moment and not (tree / "sub").is_symlink() else None
    outcome = fetched(journal, store, tree.parent, lambda: None)
    assert outcome.ending is Ending.FAILED
    assert (tmp_path / "secret" / "sub" / "file").read_bytes() == b"shadow"
    assert [path.name for path in (tmp_path / "secret" / "sub").iterdir()] == ["file"]
    assert (tree / "away" / "file").read_bytes() == b"mine"


@pytest.mark.parametrize(
    "error", [PermissionDenied("revoked"), QuotaExceeded("full"), Conflict("changed"), ProviderError("?"), ValueError()]
)
def test_a_download_that_failed_leaves_nothing_among_the_users_files(
    journal: Journal, store: MemoryStore, tree: Path, error: Exception
) -> None:
    def trouble(call: str, about: object) -> None:
        if call == "chunk":
            raise error

    store.trouble = trouble
    (tree / "sub" / "file").unlink()
    outcome = fetched(journal, store, tree.parent, lambda: None)
    assert outcome.ending is Ending.FAILED
    assert outcome.clears
    assert list((tree / "sub").iterdir()) == []


def test_a_waiting_download_keeps_what_was_fetched(journal: Journal, store: MemoryStore, tree: Path) -> None:
    store.trouble = failing("chunk", Transient("reset"), times=99)
    (tree / "sub" / "file").unlink()
    assert fetched(journal, store, tree.parent, lambda: None).ending is Ending.WAITING
    assert len(list((tree / "sub").iterdir())) == 1


def test_a_name_too_long_for_the_disk_is_not_an_internal_error(
    journal: Journal, store: MemoryStore, tree: Path
) -> None:
    for name in ("n" * 256, "n" * 256 + "/file", "ü" * 200 + "/" + "n" * 300):
        store.objects[name] = b"stored"
        given = JobRequest(kind=JobKind.DOWNLOAD, sources=("/",), to=str(tree))
        outcome = attempt(journal, store, given, NewItem(name=name, key=name, local_path=str(tree / name)))
        assert (outcome.ending, outcome.error and outcome.error.kind) == (Ending.FAILED, "name")
