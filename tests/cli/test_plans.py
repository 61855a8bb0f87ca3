"""Plans on the command line, --dry-run, and the user's filter rules from the command line to the end."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backup.cli.diagnostics import ExitCode
from backup.cli.output import Output
from backup.cli.plan_words import show_plan
from backup.journal import Journal, jobs
from backup.model.transfers import Conflicts
from backup.queries import plans
from backup.system.paths import Paths
from providers import registry
from providers.contract.cancel import CancelToken
from tests.cli.conftest import Cli
from tests.ordinary_user import as_an_ordinary_user
from tests.processes import stop_worker


@pytest.fixture(autouse=True)
def _worker_stopped(paths: Paths) -> Iterator[None]:
    yield
    if paths.journal_file.exists():
        assert stop_worker(paths)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "top"
    for name in ("a.txt", "b.tmp", "cache/x", "cache/y", "sub/c.txt"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(b"1")
    return top


def stored(paths: Paths) -> list[str]:
    return sorted(
        str(path.relative_to(paths.local_storage)) for path in paths.local_storage.rglob("*") if path.is_file()
    )


def everything(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*") if "logs" not in path.parts and path.stem != "answers"}


def test_a_dry_run_does_nothing_at_all(cli: Cli, paths: Paths, tree: Path, tmp_path: Path):
    (tmp_path / "back").mkdir()
    before = everything(tmp_path)
    up = cli("upload", str(tree), "--dry-run", "--json")
    assert up.code == 0, up.err
    document = up.json()
    assert (document["dry_run"], document["job"], document["plan"]["files"]) == (True, None, 5)
    assert cli("upload", str(tree), "--dry-run").out.endswith("nothing was done: --dry-run\n")
    after = everything(tmp_path)
    assert {path for path in after - before if Path(path).is_file()} == set()
    assert not paths.local_storage.exists()
    assert not paths.journal_file.exists()

    assert cli("upload", str(tree)).code == 0
    before = everything(tmp_path)
    down = cli("download", "top/", "--to", str(tmp_path / "back"), "--dry-run", "--json")
    assert down.json()["plan"]["files"] == 5
    gone = cli("delete", "top/", "--dry-run", "--json")  # a dry run needs no confirmation
    assert gone.json()["plan"]["files"] == 5
    assert "top/a.txt" in stored(paths)
    assert {path for path in everything(tmp_path) ^ before if "worker" not in path and "sqlite" not in path} == set()
    assert len(cli("transfers", "list", "--json").json()["jobs"]) == 1


def test_a_dry_run_fails_where_the_transfer_would(cli: Cli, paths: Paths, tmp_path: Path):
    assert cli("upload", str(tmp_path / "gone"), "--dry-run").code == ExitCode.NOT_FOUND
    assert cli("download", "gone", "--dry-run").code == ExitCode.NOT_FOUND
    assert cli("delete", "gone/", "--dry-run").code == ExitCode.NOT_FOUND


def test_unreadable_files_are_counted_and_named_before_they_fail():
    def act(top: Path) -> None:
        for number in range(5):
            (top / "source" / f"shut\x1b{number}").mkdir(parents=True)
            (top / "source" / f"shut\x1b{number}").chmod(0)
        (top / "source/file").write_bytes(b"1")
        (top / "store").mkdir()
        with contextlib.closing(registry.load("local")({"container": str(top / "store")})) as provider:
            plan = plans.upload(provider, "local", [top / "source"], "", Conflicts.REPLACE, CancelToken())
        assert (plan.files, plan.unreadable) == (1, 5)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            show_plan(Output(as_json=False), plan)
        said = out.getvalue()
        name = r"source/shut\\x1b[0-4]"
        counted = f"5 files and folders: {name}, {name}, {name} and 2 more"
        assert re.search(f"^cannot be read, and will fail: {counted}$", said, re.M), said
        assert re.search(f"^  why: .*/{name}: Permission denied$", said, re.M)

    as_an_ordinary_user(act)


def test_with_refuse_the_plan_replaces_nothing(cli: Cli, paths: Paths, tree: Path, tmp_path: Path):
    assert cli("upload", str(tree / "a.txt")).code == 0
    up = cli("upload", str(tree / "a.txt"), "--if-exists", "refuse", "--dry-run")
    assert "replaces" not in up.out
    assert "will be refused, because they already exist: 1 file: a.txt" in up.out
    (tmp_path / "a.txt").write_bytes(b"mine")
    arguments = ["download", "a.txt", "--to", f"{tmp_path}/", "--dry-run"]
    down = cli(*arguments, "--if-exists", "refuse")
    assert "replaces" not in down.out
    assert "will be refused, because they already exist: 1 file: " in down.out
    assert "replaces 1 file" in cli(*arguments).out
    assert "replaces 1 file" in cli(*arguments, "--if-exists", "skip").out
    assert cli("download", "a.txt", "--to", str(tmp_path / "same")).code == 0
    same = cli("download", "a.txt", "--to", str(tmp_path / "same"), "--if-exists", "skip", "--dry-run", "--json").json()
    assert (same["plan"]["replaces"], same["plan"]["refuses"]) == (0, 0)


def test_rules_hold_in_the_plan_the_transfer_and_the_end(cli: Cli, paths: Paths, tree: Path, tmp_path: Path):
    rules = tmp_path / "rules"
    rules.write_bytes(b"\xef\xbb\xbf# caches\n\n  cache/  \n\\#x\n")
    up = cli("upload", str(tree), "--exclude", "*.tmp", "--exclude-from", str(rules))
    assert up.code == 0, up.err
    assert "upload 2 files" in up.out
    assert "left out by your rules: 2 entries" in up.out
    assert "2 left out by your rules" in up.out.splitlines()[-1]
    assert stored(paths) == ["top/a.txt", "top/sub/c.txt"]
    assert cli("upload", str(tree), "--include", "*.tmp", "--json").json()["job"]["ruled_out"] == 4
    assert stored(paths) == ["top/a.txt", "top/b.tmp", "top/sub/c.txt"]


def test_rules_hold_if_the_scan_looks_again(cli: Cli, paths: Paths, tree: Path, monkeypatch: pytest.MonkeyPatch):
    """The plan's findings are lost, but the rules are kept with the job."""
    monkeypatch.setattr("backup.queries.findings.Findings.claim", lambda self, token: False)
    up = cli("upload", str(tree), "--exclude", "cache", "--json")
    assert up.code == 0, up.err
    assert up.json()["job"]["ruled_out"] == 1
    assert stored(paths) == ["top/a.txt", "top/b.tmp", "top/sub/c.txt"]


def test_one_file_system_holds_in_the_plan_and_is_kept_with_the_job(
    cli: Cli, paths: Paths, tree: Path, monkeypatch: pytest.MonkeyPatch
):
    really = os.stat

    def stat(path: Any, **how: Any) -> Any:
        facts = really(path, **how)
        if path != b"cache":
            return facts
        fields = {name: getattr(facts, name) for name in dir(facts) if name.startswith("st_")}
        return SimpleNamespace(**fields | {"st_dev": facts.st_dev + 1})

    monkeypatch.setattr("backup.files.tree.os.stat", stat)
    up = cli("upload", str(tree), "--one-file-system", "--json")
    assert up.code == 0, up.err
    assert up.json()["plan"]["ruled_out"] == 1
    assert stored(paths) == ["top/a.txt", "top/b.tmp", "top/sub/c.txt"]
    assert cli("upload", str(tree), "--json").json()["plan"]["ruled_out"] == 0
    with Journal(paths.journal_file) as journal, journal.look() as db:
        assert [jobs.job(db, number).order.selection.one_file_system for number in (1, 2)] == [True, False]


def test_rules_that_leave_out_everything_are_an_error(cli: Cli, tree: Path):
    done = cli("upload", str(tree), "--exclude", "*")
    assert done.code == ExitCode.UNSUPPORTED
    assert "your rules leave out everything that was chosen" in done.err


def test_a_bad_pattern_is_reported_before_anything_else(cli: Cli, paths: Paths, tree: Path, tmp_path: Path):
    bad = cli("upload", str(tree), "--exclude", "[a")
    assert bad.code == ExitCode.CONFIGURATION
    assert "the pattern '[a' has a '[' without its ']'" in bad.err
    (tmp_path / "rules").write_text("!a\n")
    assert cli("upload", str(tree), "--exclude-from", str(tmp_path / "rules")).code == ExitCode.USAGE
    assert cli("upload", str(tree), "--exclude-from", str(tmp_path / "none")).code == ExitCode.USAGE
    assert cli("upload", str(tree), "--exclude-from", str(tmp_path)).code == ExitCode.USAGE
    (tmp_path / "rules").write_bytes(b"x" * 2**21)
    assert cli("upload", str(tree), "--exclude-from", str(tmp_path / "rules")).code == ExitCode.USAGE
    assert not paths.journal_file.exists()


def test_names_in_a_list_are_bytes(cli: Cli, paths: Paths, tmp_path: Path):
    top = tmp_path / "top"
    top.mkdir()
    for name in (b"raw\xff", "Grüße".encode(), b"other"):
        (top / os.fsdecode(name)).write_bytes(b"1")
    (tmp_path / "rules").write_bytes("Grüße\n".encode() + b"raw\xff\r\n")
    assert cli("upload", str(top), "--exclude-from", str(tmp_path / "rules")).code == 0
    assert stored(paths) == ["top/other"]


def test_a_line_of_a_list_ends_only_at_a_line_feed(cli: Cli, paths: Paths, tmp_path: Path):
    """Other line separators may be part of a name, and so may an escaped blank."""
    top = tmp_path / "top"
    top.mkdir()
    left_out = ["a\u2028b", "c\x85d", "e\x0cf", "g ", "\u3000h\u00a0"]
    for name in (*left_out, *"abcdefgh"):
        (top / name).write_bytes(b"1")
    lines = ["a\u2028b", "c\x85d", "  e\x0cf\t ", "g\\  ", "\u3000h\u00a0\r"]
    (tmp_path / "rules").write_bytes("\n".join(lines).encode())
    up = cli("upload", str(top), "--exclude-from", str(tmp_path / "rules"))
    assert up.code == 0, up.err
    assert stored(paths) == [f"top/{name}" for name in "abcdefgh"]


@pytest.mark.parametrize("pattern", ["./a", ".", "..", "sub/../a", "a//b", "/./a", "x/{.,y}/z"])
def test_a_pattern_that_no_path_can_match_is_refused(cli: Cli, tree: Path, pattern: str):
    bad = cli("upload", str(tree), "--exclude", pattern, "--dry-run")
    assert bad.code == ExitCode.CONFIGURATION
    assert "which no path has" in bad.err
