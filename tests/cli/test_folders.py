"""A final '/' means a folder, for downloads and uploads; a folder named without one is reported as such."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.cli.diagnostics import ExitCode
from backup.cli.main import run
from backup.cli.session import Session
from backup.system.paths import Paths
from tests.cli.conftest import Cli
from tests.processes import stop_worker


@pytest.fixture(autouse=True)
def _worker_stopped(paths: Paths) -> Iterator[None]:
    yield
    assert stop_worker(paths)


@pytest.fixture
def stored(paths: Paths) -> Path:
    folder = paths.local_storage
    (folder / "my dir" / "sub").mkdir(parents=True)
    (folder / "a").write_bytes(b"alpha")
    (folder / "b").write_bytes(b"beta")
    (folder / "my dir" / "sub" / "x").write_bytes(b"xi")
    (folder / "my dirt").write_bytes(b"earth")
    return folder


@pytest.mark.few(2)
@pytest.mark.parametrize("to", ["NEW/", "NEW//", "NEW/.", "NEW/deep/", "./NEW/", "NEW/x/.."])
def test_a_final_slash_makes_a_folder(cli: Cli, stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str):
    monkeypatch.chdir(tmp_path)
    for key, content in (("a", b"alpha"), ("b", b"beta")):
        down = cli("download", key, "--to", to)
        assert down.code == 0, down.err
        assert Path(os.path.abspath(to), key).read_bytes() == content


@pytest.mark.few(2)
@pytest.mark.parametrize("to", [".", "..", "./", "../", "../here"])
def test_the_current_folder_is_a_folder(
    cli: Cli, stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert cli("download", "a", "--to", to).code == 0
    assert Path(os.path.abspath(to), "a").read_bytes() == b"alpha"


@pytest.mark.parametrize(
    ("keys", "to", "in_the_way"),
    [
        (["a"], "file/", "file"),
        (["a"], "file/.", "file"),
        (["a", "b"], "file", "file"),
        (["my dir/"], "file", "file"),
        (["a"], "file/below/name", "file"),
        (["a"], "file/below/", "file"),
        (["a"], "dangling/", "dangling"),
    ],
)
def test_a_file_in_place_of_a_folder_is_unchanged(
    cli: Cli, stored: Path, tmp_path: Path, keys: list[str], to: str, in_the_way: str
):
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "dangling").symlink_to("nowhere")
    refused = cli("download", *keys, "--to", f"{tmp_path}/{to}")
    assert refused.code == ExitCode.CONFLICT
    assert f"{tmp_path / in_the_way}: a " in refused.err
    assert "is where a folder is needed" in refused.err
    assert (tmp_path / "file").read_bytes() == b"mine"
    assert "no transfers" in cli("transfers").out


def test_several_files_go_into_a_new_folder(cli: Cli, stored: Path, tmp_path: Path):
    assert cli("download", "a", "b", "--to", str(tmp_path / "both")).code == 0
    assert sorted(os.listdir(tmp_path / "both")) == ["a", "b"]


def test_an_empty_target_is_a_usage_error(cli: Cli, stored: Path):
    assert cli("download", "a", "--to", "").code == ExitCode.USAGE


def test_a_folder_named_as_a_file_is_reported_with_the_right_command(cli: Cli, stored: Path, tmp_path: Path):
    refused = cli("download", "my dir", "--to", str(tmp_path / "back"))
    assert refused.code == ExitCode.NOT_FOUND
    assert "'my dir' is a folder, not a file" in refused.err
    (fix,) = [line for line in refused.err.splitlines() if "fix:" in line]
    words = shlex.split(fix.partition("final '/': ")[2])
    assert words == ["homeserver-backup", "download", "my dir/", "--to", str(tmp_path / "back")]
    assert cli(*words[1:]).code == 0
    assert (tmp_path / "back" / "my dir" / "sub" / "x").read_bytes() == b"xi"


def test_only_folders_named_as_files_are_corrected(cli: Cli, stored: Path, tmp_path: Path):
    (stored / "other").mkdir()
    (stored / "other" / "y").write_bytes(b"y")
    refused = cli("delete", "-y", "-p", "local", "a", "my dir", "--", "other")
    assert refused.code == ExitCode.NOT_FOUND
    assert "'my dir', 'other' are folders" in refused.err
    assert "homeserver-backup delete -y -p local a 'my dir/' -- other/" in refused.err
    assert "download --to 'my dir' 'my dir/'" in cli("download", "--to", "my dir", "my dir").err
    assert (stored / "a").exists()


def test_a_hostile_name_cannot_write_to_the_terminal_and_can_still_be_typed(cli: Cli, stored: Path):
    folder = stored / "e\x1b[2J'"
    folder.mkdir()
    (folder / "x").write_bytes(b"x")
    refused = cli("delete", "-y", folder.name)
    assert "\x1b" not in refused.err
    assert r"delete -y $'e\x1b[2J\x27/'" in refused.err


def test_a_listing_says_that_its_prefix_is_also_a_folder(cli: Cli, stored: Path):
    listed = cli("list", "my dir")
    assert listed.code == 0
    assert len(listed.out.splitlines()) == 2
    assert "'my dir' is a folder; to list only its contents: homeserver-backup list 'my dir/'" in listed.err
    assert "is a folder" not in cli("list", "my dir/").err
    assert "is a folder" not in cli("list", "my dirt").err
    assert "is a folder" in cli("list", "--folders", "my dir", "--json").err


def test_a_file_named_as_a_folder_is_reported(cli: Cli, stored: Path, tmp_path: Path):
    assert "'a' is a file: name it without the final '/'" in cli("list", "a/").err
    for verb in (["download", "a/", "--to", str(tmp_path)], ["delete", "-y", "a/"]):
        refused = cli(*verb)
        assert refused.code == ExitCode.NOT_FOUND
        assert "Name a file without the final '/': a." in refused.err


@pytest.mark.parametrize("name", ["file/", "file//", "file/.", "link/"])
def test_a_file_named_as_a_folder_is_not_sent(
    cli: Cli, paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "link").symlink_to("file")
    monkeypatch.chdir(tmp_path)
    refused = cli("upload", name)
    assert refused.code == ExitCode.NOT_FOUND
    assert f"{name} is a file, not a folder" in refused.err
    assert f"Name a file without the final '/': {name.rstrip('/.')}" in refused.err
    assert not paths.local_storage.exists() or list(paths.local_storage.rglob("file")) == []
    assert cli("upload", "nothing/").code == ExitCode.NOT_FOUND


@pytest.mark.parametrize("typed", ["dir", "dir/", "./dir//", "dir/."])
@pytest.mark.parametrize("to", ["x", "x/", "/x/", "x//"])
def test_a_folder_keeps_its_name_however_it_and_the_prefix_are_typed(
    cli: Cli, paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, to: str
):
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "file").write_bytes(b"mine")
    monkeypatch.chdir(tmp_path)
    plan = cli("upload", typed, "--to", to, "--dry-run", "--json").json()["plan"]
    assert (plan["destination"], plan["files"], plan["folders"]) == ("local:x/", 1, 1)


def test_a_missing_prefix_is_not_a_folder(cli: Cli, stored: Path, tmp_path: Path):
    for name in ("my", "my dir/su", "gone"):
        refused = cli("download", name, "--to", str(tmp_path))
        assert refused.code == ExitCode.NOT_FOUND
        assert "is a folder" not in refused.err


@pytest.mark.parametrize("typed", ["python -m backup", "/home/my user/backup-venv", "homeserver-backup"])
def test_the_right_command_can_be_pasted_for_any_program_name(
    paths: Paths, stored: Path, capsys: pytest.CaptureFixture[str], typed: str
):
    assert run(["delete", "my dir", "--dry-run"], typed, Session(paths)) == ExitCode.NOT_FOUND
    shown = capsys.readouterr().err.rpartition("Name a folder with a final '/': ")[2].strip()
    program = typed.split() if typed.startswith("python") else [typed]
    assert shlex.split(shown) == [*program, "delete", "my dir/", "--dry-run"]
