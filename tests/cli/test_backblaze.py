"""Backblaze B2 from the command line, with a real keyring."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.cli.diagnostics import ExitCode
from backup.system.paths import Paths
from providers.backblaze.transport import name_of_call
from providers.testing.fault_proxy import FaultProxy
from tests.cli.conftest import Cli
from tests.credentials_fixture import SecretService
from tests.processes import stop_worker
from tests.servers.b2 import B2Server
from tests.servers.b2_simulator import NEVER_SHOWN


@pytest.fixture(autouse=True)
def _worker_stopped(paths: Paths) -> Iterator[None]:
    yield
    if paths.journal_file.exists():
        assert stop_worker(paths)


@pytest.fixture
def proxy(b2_server: B2Server) -> Iterator[FaultProxy]:
    with FaultProxy(b2_server.port) as opened:
        yield opened


@pytest.mark.full
def test_the_whole_path_with_a_limited_key(
    program: Cli,
    cli: Cli,
    paths: Paths,
    b2_server: B2Server,
    proxy: FaultProxy,
    secret_service: SecretService,
    tmp_path: Path,
):
    bucket, key = b2_server.new_bucket()
    for name, value in {"container": bucket, "realm": proxy.url, "timeout": "10", "max_retries": "0"}.items():
        assert cli("set-config", "backblaze", name, value).code == 0
    wrong = [
        cli("set-credentials", "backblaze", "--username", key.key_id, stdin="K003wrong"),
        cli("test-providers", "backblaze"),
    ]
    assert [result.code for result in wrong] == [0, ExitCode.AUTHENTICATION]

    results = [cli("set-credentials", "backblaze", "--username", key.key_id, stdin=key.key)]
    results.append(program("test-cycle", "--provider", "backblaze", "--size", "6MB"))
    results.append(program("enable-provider", "backblaze"))
    (tmp_path / "file.bin").write_bytes(os.urandom(100_000))
    results.append(program("upload", str(tmp_path / "file.bin"), "--to", "x", "--provider", "backblaze"))
    results.append(program("--verbose", "list", "--json", "--provider", "backblaze"))
    assert [(result.code, result.err) for result in results if result.code] == []
    assert b2_server.objects(bucket) == {"x/file.bin": (tmp_path / "file.bin").read_bytes()}
    hidden = cli("delete", "x/file.bin", "--provider", "backblaze", "--yes")
    assert "hidden: all versions stay in the bucket" in hidden.out
    assert [version.action for version in b2_server.versions(bucket, "x/file.bin")] == ["hide", "upload"]
    assert cli("set-config", "backblaze", "delete_versions", "true").code == 0
    assert program("upload", str(tmp_path / "file.bin"), "--to", "x", "--provider", "backblaze").code == 0
    removed = cli("delete", "x/file.bin", "--provider", "backblaze", "--yes")
    assert "deleted for good, with every older version" in removed.out
    assert b2_server.versions(bucket, "x/file.bin") == []
    assert stop_worker(paths)  # it records its counts at exit
    arrived = Counter(name_of_call(request.path) for request in proxy.requests)
    status = cli("status", "--json").json()
    assert status["calls"] == {"backblaze": arrived}  # those of the checks and of the worker
    assert sum(status["call_classes"]["backblaze"].values()) == arrived.total()
    assert status["call_classes"]["backblaze"]["B"] == arrived["b2_download_file_by_name"]
    item = next(item for item in cli("transfers", "list", "--json").json()["items"] if item["job_id"] == 1)
    assert item["calls"].pop("b2_upload_file") == 1
    assert set(item["calls"]) == {"b2_get_upload_url"}  # another process made the plan
    assert "b2_upload_file" in cli("status").out
    assert "all of class A" in cli("status").out
    places = [file.read_text() for file in [paths.config_file, *paths.logs_dir.iterdir()] if file.is_file()]
    places += [result.out + result.err for result in (*wrong, *results)]
    assert all(NEVER_SHOWN not in text and "K003wrong" not in text for text in places)


@pytest.mark.full
def test_a_final_slash_means_a_folder_up_and_down(
    cli: Cli, paths: Paths, b2_server: B2Server, secret_service: SecretService, tmp_path: Path
):
    bucket, key = b2_server.new_bucket()
    for name, value in {"container": bucket, "realm": b2_server.url, "timeout": "10", "max_retries": "0"}.items():
        assert cli("set-config", "backblaze", name, value).code == 0
    assert cli("set-credentials", "backblaze", "--username", key.key_id, stdin=key.key).code == 0
    assert cli("test-providers", "backblaze").code == 0
    assert cli("enable-provider", "backblaze").code == 0
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "a").write_bytes(b"alpha")
    b2 = ("--provider", "backblaze")
    assert cli("upload", f"{tmp_path}/dir/a/", *b2).code == ExitCode.NOT_FOUND
    assert cli("upload", f"{tmp_path}/dir/", *b2, "--to", "x/").code == 0
    assert b2_server.objects(bucket) == {"x/dir/a": b"alpha"}
    for _ in range(2):  # the second time the file exists
        assert cli("download", "x/dir/a", *b2, "--to", f"{tmp_path}/NEW/").code == 0
        assert (tmp_path / "NEW" / "a").read_bytes() == b"alpha"
    assert cli("download", "x/dir", *b2, "--to", f"{tmp_path}/OTHER").code == ExitCode.NOT_FOUND
    assert cli("download", "x/dir/", *b2, "--to", f"{tmp_path}/OTHER").code == 0
    assert (tmp_path / "OTHER" / "dir" / "a").read_bytes() == b"alpha"
