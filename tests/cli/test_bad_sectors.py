"""Files that this machine cannot read wait by themselves: the service did not fail, so nothing else waits with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backup.system.paths import Paths
from tests.backup.queue_support import wait_until
from tests.cli.conftest import Cli
from tests.processes import stop_worker

PLUG_IN = """
import errno
from providers.errors import from_os_error
from providers.local.provider import LocalProvider

class AcmeProvider(LocalProvider):
    def open_upload(self, request, *, token=None):
        if "bad" in request.key:
            raise from_os_error(OSError(errno.EIO, "Input/output error"), request.key)
        return super().open_upload(request, token=token)
"""


def all_waiting(cli: Cli, job: int) -> list[Any]:
    items = [item for item in cli("transfers", "list", "--json").json()["items"] if item["job_id"] == job]
    return items if [item["state"] for item in items] == ["waiting"] * 4 else []


def test_files_with_bad_sectors_hold_up_no_other_file(cli: Cli, paths: Paths, acme: Path, tmp_path: Path):
    (tmp_path / "site" / "acme_storage.py").write_text(PLUG_IN)
    for name in ("bad/1", "bad/2", "bad/3", "bad/4", "good/1"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"1")
    for setting, value in (("container", str(acme)), ("max_retries", "0")):
        cli("set-config", "acme", setting, value)
    assert cli("enable-provider", "acme").code == 0
    try:
        job = cli("upload", str(tmp_path / "bad"), "--provider", "acme", "--detach", "--json").json()["job"]["id"]
        result = cli("upload", str(tmp_path / "good"), "--provider", "acme")
        assert result.code == 0, result.err
        waiting = wait_until(lambda: all_waiting(cli, job))
        assert all("Input/output error" in item["error"]["message"] for item in waiting)
        assert "is held" not in (paths.logs_dir / "worker.log").read_text()
    finally:
        assert cli("transfers", "cancel", "1").code == 0
        assert stop_worker(paths)
