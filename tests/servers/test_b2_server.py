"""The B2 server, checked with rclone's own b2 backend: any difference is a fault of the server."""

from __future__ import annotations

import hashlib
import os

import pytest

from providers.testing.support import content
from tests.servers.b2_simulator import MIN_PART_BYTES
from tests.servers.rclone import Rclone

CUTOFF = ("--b2-upload-cutoff", "5Mi", "--b2-chunk-size", "5Mi")


@pytest.fixture
def bucket(b2_server):
    return b2_server.new_bucket()


@pytest.fixture
def rclone(b2_server, bucket, tmp_path):
    _, key = bucket
    settings = {"type": "b2", "account": key.key_id, "key": key.key, "endpoint": b2_server.url}
    return Rclone("b", settings, tmp_path, CUTOFF)


@pytest.fixture
def tree(tmp_path):
    files = {
        "top.txt": b"1",
        "empty": b"",
        "folder/one.bin": content(70_000),
        "folder/deep/er/ünïcode name.txt": b"3",
        "big.bin": content(2 * MIN_PART_BYTES + 77),
    }
    for name, data in files.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, ns=(1_600_000_000_123_000_000, 1_600_000_000_123_000_000))
    return tmp_path / "tree", files


def test_copy_check_and_back(b2_server, bucket, rclone, tree, tmp_path):
    name, _ = bucket
    folder, files = tree
    rclone.run("copy", str(folder), rclone.path(f"{name}/copy"))
    assert b2_server.objects(name) == {f"copy/{path}": data for path, data in files.items()}
    assert b2_server.unfinished(name) == []
    assert [version.sha1 for version in b2_server.versions(name, "copy/big.bin")] == ["none"], "not sent in parts"
    rclone.run("check", str(folder), rclone.path(f"{name}/copy"))
    listed = rclone.listed(f"{name}/copy", "--files-only")
    assert {path: item["Size"] for path, item in listed.items()} == {path: len(data) for path, data in files.items()}
    assert listed["big.bin"]["Hashes"]["sha1"] == hashlib.sha1(files["big.bin"]).hexdigest()
    assert listed["top.txt"]["ModTime"].startswith("2020-09-13T12:26:40.123")
    rclone.run("copy", rclone.path(f"{name}/copy"), str(tmp_path / "back"))
    back = {path: (tmp_path / "back" / path).read_bytes() for path in files}
    assert back == files


def test_folders_move_and_delete(b2_server, bucket, rclone, tree):
    name, _ = bucket
    folder, files = tree
    rclone.run("copy", str(folder), rclone.path(name), "--exclude", "big.bin")
    assert set(rclone.run("lsf", rclone.path(name)).split()) == {"top.txt", "empty", "folder/"}
    assert rclone.run("lsf", rclone.path(f"{name}/folder/")).split() == ["deep/", "one.bin"]
    rclone.run("moveto", rclone.path(f"{name}/top.txt"), rclone.path(f"{name}/moved.txt"))
    assert set(b2_server.objects(name)) == {
        "moved.txt", "empty", "folder/one.bin", "folder/deep/er/ünïcode name.txt"
    }  # fmt: skip
    rclone.run("delete", rclone.path(f"{name}/folder"))
    assert b2_server.objects(name) == {"moved.txt": files["top.txt"], "empty": b""}
    assert any(version.action == "hide" for version in b2_server.versions(name, "folder/one.bin"))
    rclone.run("--b2-hard-delete", "deletefile", rclone.path(f"{name}/moved.txt"))
    assert b2_server.versions(name, "moved.txt") == []
    rclone.run("cleanup", rclone.path(name))


def test_a_large_file_is_copied_in_parts(b2_server, bucket, rclone):
    name, _ = bucket
    data = content(3 * MIN_PART_BYTES + 1)
    b2_server.plant(name, {"x": data})
    rclone.run(
        "--b2-copy-cutoff", f"{2 * MIN_PART_BYTES}B", "moveto", rclone.path(f"{name}/x"), rclone.path(f"{name}/y")
    )
    assert b2_server.objects(name) == {"y": data}
    assert b2_server.versions(name, "y")[0].sha1 == "none", "not copied by parts"
    assert b2_server.unfinished(name) == []


def test_a_range_and_a_missing_file(b2_server, bucket, rclone):
    name, _ = bucket
    b2_server.plant(name, {"x": b"0123456789" * 10})
    assert rclone.run("cat", "--offset", "8", "--count", "5", rclone.path(f"{name}/x")) == "89012"
    assert rclone.run("cat", "--offset", "95", rclone.path(f"{name}/x")) == "56789"
    rclone.run("copyto", rclone.path(f"{name}/absent"), "/dev/null", fails=True)


def test_keys_are_checked(b2_server, bucket, tmp_path):
    name, key = bucket
    other, _ = b2_server.new_bucket()
    wrong = {"type": "b2", "account": key.key_id, "key": "K003wrong", "endpoint": b2_server.url}
    Rclone("b", wrong, tmp_path).run("lsf", f"b:{name}", fails=True)
    limited = wrong | {"key": key.key}
    Rclone("b", limited, tmp_path).run("lsf", f"b:{other}", fails=True)
    reader = b2_server.new_key(name, capabilities=("listBuckets", "listFiles", "readFiles"))
    Rclone("b", wrong | {"account": reader.key_id, "key": reader.key}, tmp_path).run(
        "touch", f"b:{name}/new", fails=True
    )
    assert b2_server.objects(name) == {}
