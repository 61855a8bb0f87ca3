"""Symlinks in chosen folders: left out, followed, or stored as rclone stores them and restored."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backup.files import scan
from backup.journal import Journal
from backup.journal.records import Ending, JobRequest, NewItem, Outcome
from backup.model.transfers import Conflicts, ItemKind, ItemState, JobKind, Links, Selection
from backup.queries.answers import Questions
from backup.queries.questions import PlanUpload
from backup.worker.scan.new_items import Local, upload_item
from tests.backup.queue_support import Workbench, files_below
from tests.backup.test_swapped_links import attempt, replaced
from tests.providers.memory import MemoryStore
from tests.servers.rclone import Rclone

STORE, FOLLOW = Selection(links=Links.STORE), Selection(links=Links.FOLLOW)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.sqlite") as opened:
        yield opened


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "docs"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "file").write_bytes(b"mine")
    (tmp_path / "secret").write_bytes(b"shadow")
    return tree


def walked(*paths: Path, selection: Selection) -> dict[str, scan.TreeEntry]:
    found = [each for batch in scan.walk_local(paths, resolved=True, selection=selection) for each in batch]
    names = [each.name for each in found]
    assert len(names) == len(set(names))
    return dict(zip(names, found, strict=True))


# Stored


def test_a_link_is_stored_as_rclone_stores_it(journal: Journal, store: MemoryStore, tree: Path) -> None:
    os.symlink(b"../caf\xe9/nowhere", tree / "link")
    os.utime(tree / "link", ns=(10**18, 10**18), follow_symlinks=False)
    found = walked(tree, selection=STORE)["docs/link.rclonelink"]
    assert (found.kind, found.size_bytes) == (ItemKind.SYMLINK, len(b"../caf\xe9/nowhere"))
    outcome = sent(journal, store, found)
    assert outcome.ending is Ending.DONE
    assert store.objects == {"docs/link.rclonelink": b"../caf\xe9/nowhere"}


def sent(journal: Journal, store: MemoryStore, found: scan.TreeEntry, **order: Any) -> Outcome:
    given = JobRequest(kind=JobKind.UPLOAD, sources=("/",), selection=STORE, resolved=True, **order)
    job: Any = type("Job", (), {"order": given})
    return attempt(journal, store, given, upload_item(job, Local(found, None)))


def test_a_link_changed_after_the_scan_is_stored_as_it_is_or_not_at_all(
    journal: Journal, store: MemoryStore, tree: Path
) -> None:
    (tree / "link").symlink_to("one")
    found = walked(tree, selection=STORE)["docs/link.rclonelink"]
    replaced(tree / "link", lambda path: path.write_bytes(b"a file now"))()
    outcome = sent(journal, store, found)
    assert (outcome.ending, outcome.error and outcome.error.kind) == (Ending.FAILED, "name")

    def relinked(call: str, about: object) -> None:
        if call == "sent":
            (tree / "link").unlink()
            (tree / "link").symlink_to("two")

    (tree / "link").unlink()
    (tree / "link").symlink_to("one")
    store.trouble = relinked
    outcome = sent(journal, store, found)
    assert (outcome.ending, outcome.error and outcome.error.kind) == (Ending.WAITING, "integrity")
    assert not store.objects


def test_an_unchanged_stored_link_is_skipped(journal: Journal, store: MemoryStore, tree: Path) -> None:
    (tree / "link").symlink_to("one")
    found = walked(tree, selection=STORE)["docs/link.rclonelink"]
    assert sent(journal, store, found).ending is Ending.DONE
    assert sent(journal, store, found, conflicts=Conflicts.SKIP_UNCHANGED).ending is Ending.SKIPPED


def test_a_link_is_not_stored_under_the_name_of_a_file(tree: Path) -> None:
    (tree / "link").symlink_to("one")
    (tree / "link.rclonelink").write_bytes(b"somebody's")
    found = walked(tree, selection=STORE)
    assert found["docs/link"].error is not None
    assert found["docs/link"].error.kind == "conflict"
    assert found["docs/link.rclonelink"].kind is ItemKind.FILE


def test_a_chosen_link_is_stored_too(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(tree)
    assert set(walked(tmp_path / "alias", selection=STORE)) == {"alias.rclonelink"}


# Followed


def test_following_stores_the_target_of_a_link_within_the_chosen_folder(tree: Path, tmp_path: Path) -> None:
    (tree / "again").symlink_to("sub")
    (tree / "sub" / "twin").symlink_to(tree / "sub" / "file")
    (tmp_path / "alias").symlink_to(tmp_path / "secret")
    found = walked(tree, tmp_path / "alias", selection=FOLLOW)
    files = {name: each.path for name, each in found.items() if each.kind is ItemKind.FILE}
    inside = str(tree / "sub" / "file")
    assert files == {
        "docs/sub/file": inside,
        "docs/sub/twin": inside,
        "docs/again/file": inside,
        "docs/again/twin": inside,
        "alias": str(tmp_path / "secret"),
    }
    assert len(found) == len(files)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("../secret", "leads out"),
        ("/etc", "leads out"),
        ("../docs-too", "leads out"),
        ("gone", "leads nowhere"),
        (".", "back to a folder"),
        ("..", "leads out"),
        ("sub/up", "back to a folder"),
        ("self", "leads nowhere"),
    ],
)
def test_a_link_that_is_not_followed_says_why(tree: Path, tmp_path: Path, target: str, words: str) -> None:
    (tmp_path / "docs-too").mkdir()
    (tree / "sub" / "up").symlink_to("..")
    (tree / "self").symlink_to("self")
    if target != "self":
        (tree / "link").symlink_to(target)
    found = walked(tree, selection=FOLLOW)["docs/self" if target == "self" else "docs/link"]
    assert found.kind is ItemKind.SYMLINK
    assert words in found.reason
    job: Any = type("Job", (), {"order": JobRequest(kind=JobKind.UPLOAD, sources=())})
    item = upload_item(job, Local(found, None))
    assert item.state is ItemState.SKIPPED
    assert item.error is not None
    assert words in item.error.message


def test_circular_links_end(tree: Path) -> None:
    (tree / "other").mkdir()
    (tree / "sub" / "x").symlink_to("../other")
    (tree / "other" / "y").symlink_to("../sub")
    found = walked(tree, selection=FOLLOW)
    assert "docs/sub/x/y" in found
    assert found["docs/sub/x/y"].reason
    assert found["docs/other/y/file"].kind is ItemKind.FILE


def test_followed_targets_are_read_without_links(
    journal: Journal, store: MemoryStore, tree: Path, tmp_path: Path
) -> None:
    (tree / "again").symlink_to("sub")
    found = walked(tree, selection=FOLLOW)["docs/again/file"]
    replaced(tree / "sub" / "file", lambda path: path.symlink_to(tmp_path / "secret"))()
    outcome = sent(journal, store, found)
    assert (outcome.ending, outcome.error and outcome.error.kind) == (Ending.FAILED, "name")
    assert not store.objects


# Restored


def restored(journal: Journal, store: MemoryStore, to: Path, key: str = "d/link.rclonelink", **order: Any) -> Outcome:
    given = JobRequest(kind=JobKind.DOWNLOAD, sources=("d/",), to=str(to), restores_links=True, resolved=True, **order)
    link = key.endswith(".rclonelink")
    item = NewItem(
        name=key,
        key=key,
        local_path=str(to / key.removesuffix(".rclonelink")),
        kind=ItemKind.SYMLINK if link else ItemKind.FILE,
        size_bytes=len(store.objects[key]),
    )
    return attempt(journal, store, given, item)


def test_a_stored_link_is_restored(journal: Journal, store: MemoryStore, tmp_path: Path) -> None:
    store.objects["d/link.rclonelink"] = b"../caf\xe9"
    outcome = restored(journal, store, tmp_path)
    assert outcome.ending is Ending.DONE
    assert os.readlink(os.fsencode(tmp_path / "d" / "link")) == b"../caf\xe9"
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["link"]
    assert restored(journal, store, tmp_path, conflicts=Conflicts.SKIP_UNCHANGED).ending is Ending.SKIPPED
    store.objects["d/link.rclonelink"] = b"other"
    assert restored(journal, store, tmp_path, conflicts=Conflicts.REFUSE).ending is Ending.FAILED
    assert restored(journal, store, tmp_path).replaced is True
    assert os.readlink(tmp_path / "d" / "link") == "other"


def test_nothing_is_written_through_a_restored_link(journal: Journal, store: MemoryStore, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "to").mkdir()
    store.objects |= {"d/link.rclonelink": os.fsencode(tmp_path / "outside"), "d/link/x": b"evil", "d/link": b"evil"}
    assert restored(journal, store, tmp_path / "to").ending is Ending.DONE
    for key in ("d/link/x", "d/link"):
        outcome = restored(journal, store, tmp_path / "to", key)
        assert (outcome.ending, outcome.error and outcome.error.kind) == (Ending.FAILED, "name")
    assert list((tmp_path / "outside").iterdir()) == []
    assert (tmp_path / "to" / "d" / "link").is_symlink()


@pytest.mark.parametrize("existing", ["file", "folder"])
def test_a_link_never_replaces_a_file_or_a_folder(
    journal: Journal, store: MemoryStore, tmp_path: Path, existing: str
) -> None:
    store.objects["d/link.rclonelink"] = b"x"
    (tmp_path / "d").mkdir()
    there = tmp_path / "d" / "link"
    there.mkdir() if existing == "folder" else there.write_bytes(b"mine")
    outcome = restored(journal, store, tmp_path)
    assert (outcome.ending, outcome.error and outcome.error.kind) == (Ending.FAILED, "conflict")
    assert not there.is_symlink()
    assert len(list((tmp_path / "d").iterdir())) == 1


@pytest.mark.parametrize("text", [b"", b"a\0b", b"x" * 5000])
def test_an_object_that_cannot_be_a_link_is_refused(
    journal: Journal, store: MemoryStore, tmp_path: Path, text: bytes
) -> None:
    store.objects["d/link.rclonelink"] = text
    outcome = restored(journal, store, tmp_path)
    assert (outcome.ending, outcome.error and outcome.error.kind) == (Ending.FAILED, "name")
    assert list((tmp_path / "d").iterdir()) == []


def test_rclone_reads_what_we_store_and_we_restore_what_it_stores(
    journal: Journal, store: MemoryStore, tree: Path, tmp_path: Path
) -> None:
    """Its remote has no links of its own here; the side with `links=true` translates them."""
    (tree / "sub" / "up").symlink_to("../sub/file")
    (tree / "dangling").symlink_to("/nowhere/at all")
    rclone = Rclone("store", {"type": "local"}, tmp_path)
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    rclone.run("copy", f":local,links=true:{tree}", rclone.path(str(theirs / "docs")))
    for found in walked(tree, selection=STORE).values():
        assert sent(journal, store, found).ending is Ending.DONE
    for key, data in store.objects.items():
        (ours / key).parent.mkdir(parents=True, exist_ok=True)
        (ours / key).write_bytes(data)
    assert files_below(ours) == files_below(theirs)
    assert "docs/dangling.rclonelink" in files_below(theirs)
    rclone.run("copy", rclone.path(str(ours)), f":local,links=true:{tmp_path / 'back'}")
    for name in ("sub/up", "dangling"):
        store.objects = {"d/link.rclonelink": (theirs / "docs" / f"{name}.rclonelink").read_bytes()}
        assert restored(journal, store, tmp_path / "restored").ending is Ending.DONE
        target = os.readlink(tree / name)
        assert os.readlink(tmp_path / "back" / "docs" / name) == target
        assert os.readlink(tmp_path / "restored" / "d" / "link") == target


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("selection", "files", "links"),
    [
        (Selection(), 1, 0),
        (STORE, 3, 2),
        (FOLLOW, 2, 0),
        (Selection(links=Links.STORE, exclude=("dangling",)), 2, 1),
        (Selection(links=Links.FOLLOW, exclude=("sub/",)), 1, 0),
    ],
)
def test_the_job_does_what_the_plan_counted(
    bench: Workbench, tree: Path, selection: Selection, files: int, links: int
) -> None:
    """The console counts again after each answer, and queues that plan with the same answers."""
    (tree / "link").symlink_to("sub")
    (tree / "sub" / "dangling").symlink_to("nowhere")
    with contextlib.closing(Questions(bench.paths)) as questions:
        plan = questions.ask(PlanUpload("local", [tree], "", selection=selection))
    assert (plan.files, plan.links) == (files, links)
    job = bench.finish(bench.queue.queue_upload("local", [tree], selection=selection, plan=plan))
    assert job.error is None
    assert job.counts.get(ItemState.DONE, 0) == files
    assert job.ruled_out == plan.ruled_out
