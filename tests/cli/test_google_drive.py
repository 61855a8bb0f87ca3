"""Google Drive from the command line: setup with a real keyring, check and use, without exposing a secret."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.cli.diagnostics import ExitCode
from backup.system.paths import Paths
from tests.cli.conftest import Cli
from tests.credentials_fixture import SecretService
from tests.processes import stop_worker
from tests.servers.drive_oauth import CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN
from tests.servers.drive_server import DriveServer


@pytest.fixture(autouse=True)
def _worker_stopped(paths: Paths) -> Iterator[None]:
    yield
    if paths.journal_file.exists():
        assert stop_worker(paths)


@pytest.mark.full
def test_the_whole_path_with_a_keyring_and_no_secret_anywhere(
    program: Cli, cli: Cli, paths: Paths, secret_service: SecretService, tmp_path: Path
):
    with DriveServer() as server:
        folder = server.store.folder("backups/server1")
        settings = {"container": "backups/server1", "endpoint_url": server.url, "timeout": "10", "max_retries": "0"}
        for key, value in settings.items():
            assert cli("set-config", "google_drive", key, value).code == 0
        results = [cli("set-credentials", "google_drive", "--username", CLIENT_ID, stdin=REFRESH_TOKEN)]
        results.append(cli("set-credentials", "google_drive", "--setting", "client_secret", stdin=CLIENT_SECRET))
        results.append(program("test-cycle", "--provider", "google_drive", "--size", "300KiB"))
        results.append(program("enable-provider", "google_drive"))
        (tmp_path / "file.bin").write_bytes(os.urandom(100_000))
        results.append(program("upload", str(tmp_path / "file.bin"), "--to", "x"))
        results.append(program("--verbose", "list", "--json"))
        assert [(result.code, result.err) for result in results if result.code] == []
        found = {path: item.data for path, item in server.store.walk(folder)}
        assert found == {"x/file.bin": (tmp_path / "file.bin").read_bytes()}

        server.authority.refresh_tokens.clear()
        results.append(program("test-providers", "google_drive"))
        assert results[-1].code == ExitCode.AUTHENTICATION
        assert "Testing" in results[-1].err
    places = [file.read_text() for file in [paths.config_file, *paths.logs_dir.iterdir()] if file.is_file()]
    places += [result.out + result.err for result in results]
    for secret in (CLIENT_SECRET, REFRESH_TOKEN, "ya29."):
        assert all(secret not in text for text in places)
        assert secret.encode() not in paths.journal_file.read_bytes()
