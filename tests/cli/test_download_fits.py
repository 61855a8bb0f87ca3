"""Objects that the local disk cannot hold are listed in the plan of a download, with the error of the transfer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backup.cli.diagnostics import ExitCode
from backup.system.paths import Paths
from tests.cli.conftest import Cli, s3_instance, write_config
from tests.processes import stop_worker
from tests.servers.s3_server import S3Server

LONG = "x" * 300
Plant = Callable[[dict[str, bytes]], None]


@pytest.fixture(autouse=True)
def _worker_stopped(paths: Paths) -> Iterator[None]:
    yield
    assert stop_worker(paths)


@pytest.fixture
def plant(paths: Paths, moto_s3: S3Server, aws_credentials: None) -> Plant:
    """Puts objects into a bucket whose server accepts any key."""
    bucket = moto_s3.new_bucket()
    write_config(paths, s3=s3_instance(moto_s3, bucket))

    def put(objects: dict[str, bytes]) -> None:
        for key, data in objects.items():
            moto_s3.put(bucket, key, data)

    return put


def nothing(folder: Path) -> None:
    """The folder is empty."""


def folder_here(folder: Path) -> None:
    (folder / "d/x").mkdir(parents=True)


def file_here(folder: Path) -> None:
    (folder / "d").mkdir(parents=True)
    (folder / "d/x").write_bytes(b"mine")


def link_here(folder: Path) -> None:
    (folder / "d").mkdir(parents=True)
    (folder / "d/x").symlink_to(folder.parent)


CASES = {
    "an empty part": ("d//x", nothing, (), "can have this name"),
    "a way out": ("d/../x", nothing, (), "can have this name"),
    "content of a folder": ("d/x/", nothing, (), "is named as a folder"),
    "a long name": (f"d/{LONG}", nothing, (), "names of at most 255 bytes"),
    "a long name of a folder": (f"d/{LONG}/y", nothing, (), "File name too long"),
    "a folder of that name": ("d/x", folder_here, (), "which a file cannot replace"),
    "a link of that name": ("d/x", link_here, (), "which a file cannot replace"),
    "a file where a folder is needed": ("d/x/y", file_here, (), "a file is where a folder is needed"),
    "a link where a folder is needed": ("d/x/y", link_here, (), "is a symbolic link"),
    "a link over a file": ("d/x.rclonelink", file_here, ("--links",), "something of that name is already there"),
}


@pytest.mark.parametrize("case", CASES)
def test_an_object_that_does_not_fit_is_in_the_plan_and_fails(
    cli: Cli, plant: Plant, tmp_path: Path, case: str
) -> None:
    key, prepare, options, words = CASES[case]
    plant({"d/ok": b"content", key: b"body"})
    back = tmp_path / "back"
    prepare(back)
    before = sorted(back.rglob("*"))
    arguments = ("download", "d/", "--to", str(back), *options)
    dry = cli(*arguments, "--dry-run")
    assert dry.code == ExitCode.OK, dry.err
    assert "download 1 file" in dry.out
    kind = "folder" if key.endswith("/") else "file"
    assert f"will be refused, because this disk cannot hold them: 1 {kind}: {key}"[:120] in dry.out
    assert words in dry.out
    assert sorted(back.rglob("*")) == before, "a plan writes nothing"
    done = cli(*arguments, "--json")
    assert done.code not in (ExitCode.OK, ExitCode.FAILURE)
    document = done.json()
    plan, (failed,) = document["plan"], document["failed"]
    assert (plan["files"], plan["size_bytes"], plan["unstorable"]) == (1, len(b"content"), 1)
    assert plan["unstorable_names"] == [key]
    assert plan["replaces"] == 0
    assert failed["key"] == key
    assert failed["error"]["message"] == plan["unstorable_why"]
    assert document["job"]["error"] is None, "all went as planned"
    assert (back / "d/ok").read_bytes() == b"content"


def test_a_file_beside_a_folder_of_its_name_is_in_the_plan(cli: Cli, plant: Plant, tmp_path: Path) -> None:
    plant({"d/e": b"1", "d/e.txt": b"22", "d/e/f/g": b"333"})
    arguments = ("download", "d/", "--to", str(tmp_path / "back"), "--json")
    plan = cli(*arguments, "--dry-run").json()["plan"]
    assert (plan["files"], plan["unstorable"], plan["unstorable_names"]) == (2, 1, ["d/e"])
    assert plan["unstorable_why"] == "'d/e': cannot be a file here and a folder for 'd/e/f/g' as well"
    done = cli(*arguments)
    assert done.code not in (ExitCode.OK, ExitCode.FAILURE)
    document = done.json()
    assert document["job"]["error"] is None
    (failed,) = document["failed"]
    assert failed["key"] in {"d/e", "d/e/f/g"}


def test_a_single_object_with_a_new_name_fits(cli: Cli, plant: Plant, tmp_path: Path) -> None:
    plant({f"d/{LONG}": b"content"})
    assert cli("download", f"d/{LONG}", "--to", str(tmp_path / "short")).code == ExitCode.OK
    assert (tmp_path / "short").read_bytes() == b"content"
    longer = cli("download", f"d/{LONG}", "--to", str(tmp_path / LONG), "--dry-run", "--json").json()["plan"]
    assert (longer["files"], longer["unstorable"]) == (0, 1)
