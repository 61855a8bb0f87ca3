"""upload, download, delete, transfers, status: over local storage and through the real worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.cli.diagnostics import ExitCode
from backup.queue.client import Queue
from backup.system.paths import Paths
from tests.cli.conftest import Cli, Result, write_config
from tests.processes import stop_worker


@pytest.fixture(autouse=True)
def _worker_stopped(paths: Paths) -> Iterator[None]:
    yield
    assert stop_worker(paths)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "2024").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(os.urandom(300_000))
    (folder / "2024" / "b\x1b[2J.jpg").write_bytes(b"small")
    (folder / "link").symlink_to("/etc/passwd")
    return folder


def test_up_list_down_delete(cli: Cli, paths: Paths, tree: Path, tmp_path: Path):
    up = cli("upload", str(tree), "--to", "home/")
    assert up.code == 0, up.err
    assert "upload 2 files in 2 folders, 293 KiB, to local:home/" in up.out
    assert "leaves out 1 symbolic link" in up.out
    assert "uploaded 2 items (293 KiB), verified; 1 symbolic link left out" in up.out
    assert (paths.local_storage / "home/photos/a.jpg").read_bytes() == (tree / "a.jpg").read_bytes()

    again = cli("upload", str(tree), "--to", "home/", "--json")
    assert again.code == 0
    document = again.json()
    assert document["plan"]["replaces"] == 2
    assert document["job"]["counts"]["done"] == 2
    assert document["failed"] == []

    down = cli("download", "home/photos/", "--to", str(tmp_path / "back"))
    assert down.code == 0, down.err
    assert (tmp_path / "back/photos/a.jpg").read_bytes() == (tree / "a.jpg").read_bytes()

    gone = cli("delete", "--yes", "home/")
    assert gone.code == 0, gone.err
    assert "deleted 2 items" in gone.out
    assert cli("list", "--json").json()["files"] == []
    assert all("\x1b" not in result.out + result.err for result in (up, down, gone, cli("transfers")))


def test_a_single_file_gets_the_given_path(cli: Cli, paths: Paths, tmp_path: Path):
    paths.local_storage.mkdir(parents=True)
    (paths.local_storage / "a.txt").write_bytes(b"alpha")
    target = tmp_path / "new name.txt"
    assert cli("download", "a.txt", "--to", str(target)).code == 0
    assert target.read_bytes() == b"alpha"
    target.write_bytes(b"mine")
    refused = cli("download", "a.txt", "--to", str(target), "--if-exists", "refuse")
    assert refused.code == ExitCode.CONFLICT
    assert target.read_bytes() == b"mine"


def test_a_restore_without_room_is_refused_before_anything_begins(cli: Cli, paths: Paths, tmp_path: Path):
    paths.local_storage.mkdir(parents=True)
    (paths.local_storage / "small").write_bytes(b"1")
    with open(paths.local_storage / "large", "wb") as large:
        large.truncate(2**43)  # sparse: it takes no space
    down = cli("download", "/", "--to", f"{tmp_path / 'back'}/")
    assert down.code == ExitCode.QUOTA, down.err
    assert "these files need 8.00 TiB there" in down.err
    assert not (tmp_path / "back").exists()
    assert "no transfers" in cli("transfers").out


def test_a_target_with_a_name_that_no_disk_accepts(cli: Cli, paths: Paths, tmp_path: Path):
    paths.local_storage.mkdir(parents=True)
    (paths.local_storage / "small").write_bytes(b"1")
    for to in ("n" * 300, f"{'n' * 300}/", f"{'n' * 300}/below"):
        down = cli("download", "small", "--to", f"{tmp_path}/{to}")
        assert down.code == ExitCode.UNSUPPORTED, down.err
        assert "internal error" not in down.err


def test_links_are_stored_and_restored_on_request(cli: Cli, paths: Paths, tree: Path, tmp_path: Path):
    (tree / "2024" / "up").symlink_to("../a.jpg")
    os.utime(tree / "2024" / "up", ns=(10**18 + 1, 10**18 + 1), follow_symlinks=False)
    up = cli("upload", str(tree), "--links", "store", "--json")
    assert up.code == 0, up.err
    assert (up.json()["plan"]["links"], up.json()["plan"]["skipped_symlinks"], up.json()["plan"]["files"]) == (2, 0, 4)
    assert (paths.local_storage / "photos/2024/up.rclonelink").read_bytes() == b"../a.jpg"
    assert "2 symbolic links among them, stored as such" in cli("upload", str(tree), "--links", "store").out

    down = cli("download", "photos/", "--to", f"{tmp_path / 'back'}/", "--links")
    assert down.code == 0, down.err
    assert os.readlink(tmp_path / "back/photos/link") == "/etc/passwd"
    assert (tmp_path / "back/photos/2024/up").read_bytes() == (tree / "a.jpg").read_bytes()
    assert (tmp_path / "back/photos/2024/up").lstat().st_mtime_ns == 10**18 + 1
    plain = cli("download", "photos/2024/up.rclonelink", "--to", str(tmp_path / "plain"))
    assert plain.code == 0, plain.err
    assert (tmp_path / "plain").read_bytes() == b"../a.jpg"
    exact = cli("download", "photos/2024/up.rclonelink", "--to", str(tmp_path / "exact"), "--links")
    assert exact.code == 0, exact.err
    assert os.readlink(tmp_path / "exact") == "../a.jpg"


def test_links_are_followed_within_what_was_chosen(cli: Cli, paths: Paths, tree: Path):
    (tree / "2024" / "up").symlink_to("../a.jpg")
    up = cli("upload", str(tree), "--links", "follow")
    assert up.code == 0, up.err
    assert "1 symbolic link left out" in up.out
    assert (paths.local_storage / "photos/2024/up").read_bytes() == (tree / "a.jpg").read_bytes()
    assert not (paths.local_storage / "photos/link").exists()
    assert "leads out of what was chosen" in cli("transfers", "list").out


def test_a_download_without_any_checksum_says_that_it_was_read_twice(cli: Cli, paths: Paths, tmp_path: Path):
    paths.local_storage.mkdir(parents=True)
    (paths.local_storage / "a.txt").write_bytes(b"alpha")  # by another program
    down = cli("download", "a.txt", "--to", str(tmp_path / "one"))
    assert "downloaded 1 item (5 B), verified; 1 of them read twice; the service has no checksum" in down.out
    listed = cli("transfers", "list", "--json").json()
    assert [item["proof"] for item in listed["items"]] == ["read_twice"]
    assert listed["jobs"][0]["read_twice"] == 1
    assert "read twice; the service has no checksum" in cli("transfers", "list").out
    assert cli("upload", str(tmp_path / "one"), "--json").code == 0
    down = cli("download", "one", "--to", str(tmp_path / "two"))
    assert "read twice" not in down.out, "our history knows it"


def test_missing_files_are_not_queued(cli: Cli, tmp_path: Path):
    for verb in (["upload", str(tmp_path / "gone")], ["download", "gone"], ["delete", "--yes", "gone"]):
        result = cli(*verb)
        assert result.code == ExitCode.NOT_FOUND, verb
        assert "error: cannot" in result.err
    assert cli("transfers", "--help").code == 0
    assert "no transfers" in cli("transfers").out


def test_deleting_asks_and_needs_yes_without_a_terminal(cli: Cli, paths: Paths, monkeypatch: pytest.MonkeyPatch):
    paths.local_storage.mkdir(parents=True)
    (paths.local_storage / "a.txt").write_bytes(b"alpha")
    assert cli("delete", "a.txt").code == ExitCode.USAGE
    monkeypatch.setattr("backup.cli.commands.delete.stdin_is_terminal", lambda: True)
    declined = cli("delete", "a.txt", stdin="n\n")
    assert declined.code == ExitCode.CANCELLED
    assert "delete 1 file, 5 B" in declined.out
    assert (paths.local_storage / "a.txt").exists()
    assert cli("delete", "a.txt", stdin="y\n").code == 0
    assert not (paths.local_storage / "a.txt").exists()


@pytest.mark.parametrize("to", ["../..", "a/../b", "a//b", "."])
def test_a_folder_that_no_service_can_hold_is_refused_before_anything_is_queued(cli: Cli, tmp_path: Path, to: str):
    (tmp_path / "good").write_bytes(b"1")
    result = cli("upload", str(tmp_path / "good"), "--to", to, "--detach")
    assert result.code == ExitCode.UNSUPPORTED
    assert f"why: '{to}': a folder at the provider" in result.err
    assert "fix: Give the full path" in result.err
    assert "no transfers" in cli("transfers").out


def test_an_empty_path_is_not_the_current_folder(cli: Cli, paths: Paths, tmp_path: Path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "file").write_bytes(b"1")
    monkeypatch.chdir(tmp_path / "here")
    result = cli("upload", "")
    assert result.code == ExitCode.USAGE
    assert "a PATH is empty" in result.err
    assert cli("upload", ".").code == 0


def test_if_nothing_can_be_stored_it_is_an_error(cli: Cli, tmp_path: Path):
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "one").symlink_to("nowhere")
    for path, what in (("/dev/null", "1 special file"), (tmp_path / "link", "1 symbolic"), (tmp_path / "links", "1 s")):
        for more in ([], ["--detach"]):
            result = cli("upload", str(path), *more)
            assert result.code == ExitCode.UNSUPPORTED
            assert f"leaves out {what}" in result.out
            assert "verified" not in result.out
            assert "nothing else was chosen" in result.err
    assert "no transfers" in cli("transfers").out


def test_a_name_that_is_not_utf8_looks_the_same_on_every_line(cli: Cli, tmp_path: Path):
    name = b".homeserver-backup-0123456789abcdef-01234567-01234567.partial"
    folder = tmp_path / os.fsdecode(b"raw\xff")
    folder.mkdir()
    (folder / os.fsdecode(name)).write_bytes(b"a name that local storage keeps for itself")
    result = cli("upload", str(folder))
    assert result.code == ExitCode.UNSUPPORTED
    assert result.err.count(r"raw\xff/.homeserver-backup-") == 2  # title, and reason
    assert "udcff" not in result.out + result.err + cli("transfers").out
    assert "uploaded nothing; 1 failed" in result.out
    row = next(line for line in cli("transfers").out.splitlines() if "failed" in line)
    assert row.split()[:4] == ["1", "upload", "local", "failed"]


def test_a_list_of_transfers_has_sizes_and_what_was_skipped(cli: Cli, paths: Paths, tree: Path):
    write_config(paths, local={"max_bandwidth": 1024, "enabled": True})
    begun = cli("upload", str(tree), "--detach")
    assert begun.code == 0, begun.err
    while cli("transfers", "list", "--json").json()["jobs"][0]["scanning"]:
        continue
    assert cli("transfers", "cancel", "1", "--json").json()["cancelled"] == 2
    write_config(paths)
    assert cli("upload", str(tree)).code == 0
    assert cli("delete", "photos/", "--yes").code == 0
    rows = [line.split() for line in cli("transfers").out.splitlines()]
    jobs = {row[0]: row[1:] for row in rows[1 : rows.index([])]}
    assert jobs["3"] == ["delete", "local", "done", "2/2", "293", "KiB", "0", "0", "photos/"]
    assert jobs["2"] == ["upload", "local", "done", "3/3", "293", "KiB", "of", "293", "KiB", "0", "1", "photos"]
    assert jobs["1"][:4] == ["upload", "local", "cancelled", "3/3"]
    assert jobs["1"][-6:] == ["of", "293", "KiB", "0", "1", "photos"]


def test_a_control_without_effect_names_another_verb(cli: Cli, tmp_path: Path):
    (tmp_path / "file").write_bytes(b"1")
    assert cli("upload", str(tmp_path / "file")).code == 0
    for verb, expected in {"resume": "transfers retry", "retry": "none of these failed", "pause": "running"}.items():
        result = cli("transfers", verb, "1")
        assert result.code == 0
        assert ": 0" in result.out
        assert expected in result.err


def test_a_disabled_provider_accepts_no_transfers(cli: Cli, tmp_path: Path):
    (tmp_path / "file").write_bytes(b"1")
    cli("disable-provider", "local")
    result = cli("upload", str(tmp_path / "file"))
    assert result.code == ExitCode.CONFIGURATION
    assert "enable-provider local" in result.err


def test_the_only_enabled_provider_is_the_default_and_is_named(cli: Cli, paths: Paths, tmp_path: Path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "file").write_bytes(b"1")
    disk = {"type": "local", "container": str(tmp_path / "disk"), "enabled": True}
    write_config(paths, disk=disk)
    result = cli("upload", str(tmp_path / "file"))
    assert result.code == 0
    assert "using provider disk" in result.err
    assert (tmp_path / "disk/file").exists()
    write_config(paths, disk=disk, other=disk)
    assert cli("list").code == ExitCode.CONFIGURATION
    assert cli("list", "--provider", "local").code == 0


def slow_upload(cli: Cli, paths: Paths, tmp_path: Path) -> Result:
    """A detached upload that takes minutes."""
    file = tmp_path / "big.bin"
    file.write_bytes(os.urandom(2_000_000))
    write_config(paths, local={"max_bandwidth": 10_000, "enabled": True})
    return cli("upload", str(file), "--detach", "--json")


def test_transfers_are_paused_resumed_cancelled_and_retried(cli: Cli, paths: Paths, tmp_path: Path):
    job = str(slow_upload(cli, paths, tmp_path).json()["job"]["id"])
    listed = cli("transfers", "list")
    assert listed.code == 0
    assert "big.bin" in listed.out

    def state() -> str:
        counts = cli("transfers", "list", "--json").json()["jobs"][0]["counts"]
        return next((name for name, number in counts.items() if number), "")

    def until(wanted: str, *verb: str) -> None:
        for _ in range(200):
            if state() == wanted:
                return
            if verb:
                cli(*verb)
        raise AssertionError(f"{state()}, not {wanted}")

    until("running")
    assert cli("transfers", "pause", job, "--json").json() == {"paused": 1}
    until("paused")
    assert cli("transfers", "resume", "--all", "--json").json() == {"resumed": 1}
    until("running")
    item = str(cli("transfers", "list", "--json").json()["items"][0]["id"])
    assert cli("transfers", "cancel", "--item", item, "--json").json() == {"cancelled": 1}
    until("cancelled")
    row = next(line for line in cli("transfers", "list").out.splitlines() if "big.bin" in line)
    assert "cancelled" in row
    assert "failed" not in row
    write_config(paths)
    assert cli("transfers", "retry", job, "--json").json() == {"queued": 1}
    until("done")
    assert (paths.local_storage / "big.bin").stat().st_size == 2_000_000
    assert cli("transfers", "pause").code == ExitCode.USAGE
    missing = cli("transfers", "cancel", "999")
    assert missing.code == ExitCode.NOT_FOUND
    assert "transfers list" in missing.err
    assert cli("transfers", "--json").json()["jobs"] == cli("transfers", "list", "--json").json()["jobs"]
    assert cli("transfers", "--json", "list").code == ExitCode.USAGE


def test_status_shows_everything_except_secrets(cli: Cli, paths: Paths):
    shown = cli("status")
    assert shown.code == 0
    assert str(paths.config_file) in shown.out
    document = cli("status", "--json").json()
    assert document["store"]["state"] == "unavailable"
    assert document["worker"] == {"alive": False, "state": "none", "pid": None, "problem": None}
    assert document["instances"][0]["name"] == "local"
    assert document["version"]


def test_ctrl_c_leaves_the_transfer_running_and_says_so(
    cli: Cli, paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "big.bin").write_bytes(os.urandom(2_000_000))
    write_config(paths, local={"max_bandwidth": 10_000, "enabled": True})

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("backup.queue.client.Queue.follow", interrupted)
    result = cli("upload", str(tmp_path / "big.bin"))
    assert result.code == ExitCode.INTERRUPTED
    assert "transfers cancel 1" in result.err
    queue = Queue(paths)
    assert not queue.job(1).finished
    assert cli("transfers", "cancel", "1", "--json").json()["cancelled"] <= 1
    queue.close()


def test_ctrl_c_while_queueing_says_where_to_look(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_bytes(b"1")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("backup.queue.client.Queue.queue_upload", interrupted)
    result = cli("upload", str(tmp_path / "file"))
    assert result.code == ExitCode.INTERRUPTED
    assert "transfers list" in result.err


def test_a_current_folder_that_is_gone_is_named(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_bytes(b"1")
    assert cli("upload", str(tmp_path / "file")).code == 0
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for command in (("download", "file", "--to", "here"), ("upload", "file")):
        result = cli(*command)
        assert result.code == ExitCode.NOT_FOUND
        assert "the current folder no longer exists" in result.err
    assert cli("download", "file", "--to", str(tmp_path / "there")).code == 0
