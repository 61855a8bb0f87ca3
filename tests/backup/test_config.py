"""The configuration file is read, migrated, changed by several processes at once, and never damaged."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from backup.config import file
from backup.config import text as config_text
from backup.config.file import CheckRecord
from backup.system import private_files
from backup.system.paths import Paths
from providers.errors import Conflict, InvalidConfiguration
from providers.secret import Secret


def write(paths: Paths, text: str) -> None:
    paths.config_dir.mkdir(parents=True, exist_ok=True)
    paths.config_file.write_text(text)


def on_disk(paths: Paths) -> dict[str, Any]:
    return dict(json.loads(paths.config_file.read_text()))


def test_without_a_file_local_storage_is_ready_to_use(paths: Paths):
    found = file.load(paths)
    assert found.problem is None
    assert list(found.instances) == ["local"]
    assert found.instances["local"].values == {
        "enabled": True,
        "container": str(paths.local_storage),
        "create_folder": True,
    }
    assert not paths.config_dir.exists()


def test_a_local_container_named_by_the_user_is_not_created(paths: Paths):
    write(paths, '{"version": 1, "providers": {"local": {"container": "/mnt/backup"}}}')
    assert file.load(paths).instances["local"].values == {"enabled": True, "container": "/mnt/backup"}


def test_the_next_reader_sees_a_change(paths: Paths):
    with file.edit(paths) as draft:
        draft.add("minio", "aws_s3")
        draft.set("minio", "endpoint_url", "https://minio.example")
        draft.set("aws_s3", "container", "copies")
    found = file.load(paths)
    assert found.instances["minio"].type == "aws_s3"
    assert found.instances["minio"].values == {"endpoint_url": "https://minio.example"}
    assert found.instances["aws_s3"].type == "aws_s3"
    assert on_disk(paths)["version"] == config_text.VERSION


def test_file_and_folder_are_for_their_owner_only(paths: Paths):
    paths.config_dir.mkdir(parents=True, mode=0o755)
    with file.edit(paths) as draft:
        draft.set("aws_s3", "container", "copies")
    assert stat.S_IMODE(paths.config_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(paths.config_dir.stat().st_mode) == 0o700


def test_unknown_keys_are_kept(paths: Paths):
    future = {"colour": "red", "deep": {"a": [1, 2]}}
    write(
        paths,
        json.dumps({"version": 1, "console": {"theme": "dark"}, "providers": {"aws_s3": {"container": "a", **future}}}),
    )
    with file.edit(paths) as draft:
        draft.set("aws_s3", "container", "b")
    assert on_disk(paths)["console"] == {"theme": "dark"}
    assert on_disk(paths)["providers"]["aws_s3"] == {"container": "b", **future}


def test_names_that_are_not_utf8_come_back(paths: Paths):
    folder = os.fsdecode(b"/mnt/b\xffckup")
    with file.edit(paths) as draft:
        draft.set("local", "container", folder)
        draft.set("aws_s3", "container", "küche")
    assert file.load(paths).instances["local"].values["container"] == folder


def test_the_guides_sample_is_format_0_and_migrates(paths: Paths):
    write(paths, '{"aws_s3": {"enabled": false, "container": "homeserver-backups", "retry_delay": 1.0}, "note": 1}')
    found = file.load(paths)
    assert found.problem is None
    assert found.instances["aws_s3"].values["container"] == "homeserver-backups"
    assert "version" not in on_disk(paths)  # reading changes nothing
    with file.edit(paths) as draft:
        draft.set("aws_s3", "region", "eu-central-1")
    assert on_disk(paths) == {
        "note": 1,
        "providers": {
            "aws_s3": {
                "enabled": False,
                "container": "homeserver-backups",
                "retry_delay": 1.0,
                "region": "eu-central-1",
            }
        },
        "local_fallback": False,
        "version": 1,
    }


def test_format_0_with_providers_only_gains_a_version(paths: Paths):
    write(paths, '{"providers": {"aws_s3": {"container": "c"}}, "other": {"kept": true}}')
    with file.edit(paths) as draft:
        draft.set("aws_s3", "container", "d")
    migrated = {"providers": {"aws_s3": {"container": "d"}}, "other": {"kept": True}}
    assert on_disk(paths) == {**migrated, "local_fallback": False, "version": 1}


def test_a_newer_version_is_read_but_not_written(paths: Paths):
    text = '{"version": 99, "providers": {"aws_s3": {"container": "c"}}}'
    write(paths, text)
    found = file.load(paths)
    assert found.usable
    assert found.problem is not None
    assert "newer version" in found.problem.message
    assert found.instance("aws_s3").values == {"container": "c"}
    with pytest.raises(InvalidConfiguration, match="newer version"), file.edit(paths) as draft:
        draft.set("aws_s3", "container", "d")
    assert paths.config_file.read_text() == text


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ('{\n  "version": 1,\n  "providers": {,}\n}', "line 3, column 17", "property name"),
        ('{\n "version": 1', "line 2, column 14", "delimiter"),
        ('{"version": 1}\ngarbage', "line 2", "extra data"),
        ("[1]", "line 1", "must be an object"),
        (f'{{"version": {"9" * 5000}}}', "", "holds a number that is too long"),
        ('{\n"version": "one"}', "line 2", "version: must be a whole number"),
        ('{\n"version": 1,\n"providers": []}', "line 3", "providers: must be an object"),
        ('{"version": 1,\n"providers": {\n"aws_s3": 7}}', "line 3", "providers.aws_s3: must be an object"),
        ('{"version": 1,\n"providers": {\n"m": {\n"type": 7}}}', "line 4", "providers.m.type: must be text"),
        ('{"version": 1,\n"checks": {\n"m": {"at": "x"}}}', "line 3", "checks.m.at"),
        ('{"version": 1, "credentials": {\n"m": {\n"fields": [1]}}}', "line 3", "credentials.m.fields"),
        ('{"version": 1,\n"providers": {},\n"providers": {}}', "line 3", "appears twice"),
        ('{"version": NaN}', "", "NaN"),
        ("[" * 100_000, "", ""),
    ],
)
def test_a_broken_file_is_named_with_its_line_and_never_overwritten(paths: Paths, text: str, line: str, what: str):
    write(paths, text)
    found = file.load(paths)
    assert found.problem is not None
    assert not found.usable
    assert str(paths.config_file) in found.problem.message
    assert line in found.problem.message
    assert what in found.problem.message
    with pytest.raises(InvalidConfiguration), file.edit(paths) as draft:
        draft.set("aws_s3", "container", "d")
    with pytest.raises(InvalidConfiguration):
        found.instance("local")  # the broken file may give it another location
    assert paths.config_file.read_text() == text


def test_bytes_that_are_not_text(paths: Paths):
    paths.config_dir.mkdir(parents=True)
    paths.config_file.write_bytes(b'{\n"version": 1,\n"a": "\xff"}')
    problem = file.load(paths).problem
    assert problem is not None
    assert "line 3" in problem.message


def test_a_problem_in_the_block_changes_nothing(paths: Paths):
    with file.edit(paths) as draft:
        draft.set("aws_s3", "container", "c")
    before = paths.config_file.read_bytes()

    def change() -> None:
        with file.edit(paths) as draft:
            draft.set("aws_s3", "container", "d")
            raise LookupError

    with pytest.raises(LookupError):
        change()
    assert paths.config_file.read_bytes() == before
    assert sorted(entry.name for entry in paths.config_dir.iterdir()) == ["config.json", "config.lock"]


def test_a_full_disk_leaves_the_old_file(paths: Paths, monkeypatch: pytest.MonkeyPatch):
    with file.edit(paths) as draft:
        draft.set("aws_s3", "container", "c")
    before = paths.config_file.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InvalidConfiguration, match="No space left"), file.edit(paths) as draft:
        draft.set("aws_s3", "container", "d")
    assert paths.config_file.read_bytes() == before
    assert sorted(entry.name for entry in paths.config_dir.iterdir()) == ["config.json", "config.lock"]


def test_without_a_change_nothing_is_written(paths: Paths):
    write(paths, '{"version":1,"providers":{"aws_s3":{"container":"c"}}}')
    with file.edit(paths) as draft:
        draft.set("aws_s3", "container", "c")
    assert paths.config_file.read_text() == '{"version":1,"providers":{"aws_s3":{"container":"c"}}}'


def test_a_symlinked_file_stays_a_symlink(paths: Paths, tmp_path: Path):
    dotfiles = tmp_path / "dotfiles.json"
    dotfiles.write_text('{"version": 1}')
    paths.config_dir.mkdir(parents=True)
    paths.config_file.symlink_to(dotfiles)
    with file.edit(paths) as draft:
        draft.set("aws_s3", "container", "c")
    assert paths.config_file.is_symlink()
    assert json.loads(dotfiles.read_text())["providers"] == {"aws_s3": {"container": "c"}}


def test_concurrent_writers_lose_no_change(paths: Paths):
    def add(number: int) -> None:
        for step in range(5):
            with file.edit(paths) as draft:
                draft.set(f"aws_s3-{number}", "container", f"c{step}")
                draft.set("aws_s3", f"key_{number}_{step}", step)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(file.load(paths).instances) == 8
    assert len(file.load(paths).instances["aws_s3"].values) == 30


def test_waiting_for_a_held_lock_ends(paths: Paths):
    private_files.private_folder(paths.config_dir)

    def wait_for_it() -> None:
        with private_files.exclusive_lock(paths.config_lock, "the configuration", timeout_s=0.05):
            raise AssertionError("entered")

    with (
        private_files.exclusive_lock(paths.config_lock, "the configuration"),
        pytest.raises(Conflict, match="the configuration was in use"),
    ):
        wait_for_it()


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "a b", "x" * 65, "-dash", "a\n"])
def test_an_invalid_name_is_refused(paths: Paths, name: str):
    with pytest.raises(InvalidConfiguration, match="cannot name an instance"), file.edit(paths) as draft:
        draft.add(name, "aws_s3")
    assert not paths.config_file.exists()


def test_a_name_that_is_taken_by_another_service_is_refused(paths: Paths):
    with file.edit(paths) as draft:
        draft.add("offsite", "aws_s3")
        draft.add("offsite", "aws_s3")
        with pytest.raises(InvalidConfiguration, match="already exists, for aws_s3"):
            draft.add("offsite", "local")


def test_an_unknown_instance_names_the_known_ones(paths: Paths):
    with pytest.raises(InvalidConfiguration, match="no instance 'ofsite'") as caught:
        file.load(paths).instance("ofsite")
    assert "local" in caught.value.hint


def test_removing_an_instance_removes_its_check(paths: Paths):
    with file.edit(paths) as draft:
        draft.set("aws_s3", "container", "c")
        draft.record_check("aws_s3", CheckRecord(1.5, True, "f"))
    assert file.load(paths).checks["aws_s3"] == CheckRecord(1.5, True, "f")
    with file.edit(paths) as draft:
        assert draft.remove("aws_s3") is True
        assert draft.remove("aws_s3") is False
    assert list(file.load(paths).instances) == ["local"]
    assert file.load(paths).checks == {}


def test_a_secret_never_goes_into_the_file(paths: Paths):
    with pytest.raises(TypeError), file.edit(paths) as draft:
        draft.set("aws_s3", "secret_key", Secret("hunter2"))
    assert not paths.config_file.exists()


def test_a_secret_in_the_file_does_not_show_itself(paths: Paths):
    write(paths, '{"version": 1, "providers": {"aws_s3": {"secret_key": "hunter2", "my_token": "hunter3"}}}')
    found = file.load(paths)
    assert "hunter" not in repr(found)
    assert found.instances["aws_s3"].values["secret_key"] == Secret("hunter2")
