"""S3 with the vault on a machine without a session bus: a transfer that outlives its command, resumed after everything
was killed, and run by a timer without a terminal. Every command is a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from backup.cli.diagnostics import ExitCode
from backup.credentials.passphrase import CREDENTIAL_NAME
from backup.credentials.vault import vault_path
from backup.credentials.vault_file.file import VaultFile
from backup.queue.client import Queue
from backup.system.paths import Paths
from providers.testing.fault_proxy import FaultProxy
from providers.testing.faults import Fault
from tests.backup.queue_support import wait_until
from tests.backup.vault_tools import CHEAP, PASSPHRASE
from tests.cli.conftest import ROOT, Result
from tests.processes import stop_worker
from tests.servers.s3_requests import put_object
from tests.servers.s3_server import ACCESS_KEY, REGION, SECRET_KEY, S3Server

QUICK = {"timeout": "10", "max_retries": "1", "retry_delay": "0.05"}


@dataclass
class Box:
    """A machine without a bus, with S3 set up; `queue` observes from outside."""

    paths: Paths
    server: S3Server
    bucket: str
    queue: Queue

    def run(self, *words: str, stdin: str = "", passphrase: bool = False, environment: dict[str, str] | None = None):
        """Run a command without a terminal, in its own session; `passphrase` is passed by a descriptor."""
        fds: list[int] = []
        if passphrase:
            reader, writer = os.pipe()
            os.write(writer, PASSPHRASE.reveal().encode() + b"\n")
            os.close(writer)
            fds, words = [reader], ("--passphrase-fd", str(reader), *words)
        done = subprocess.run(
            [sys.executable, "-m", "backup", *words], input=stdin, text=True, capture_output=True, timeout=60, cwd=ROOT,
            env={**os.environ, **(environment or {})}, pass_fds=fds, start_new_session=True, check=False,
        )  # fmt: skip
        for fd in fds:
            os.close(fd)
        return Result(done.returncode, done.stdout, done.stderr)

    def file(self, name: str) -> Path:
        path = self.paths.config_dir.parent / name
        path.write_bytes(os.urandom(200_000))
        return path

    def worker(self) -> int:
        status = self.queue.worker_status()
        return int(status["pid"]) if status else 0

    def everything_killed(self) -> None:
        pid = self.worker()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.worker())

    def arrived(self, name: str) -> bool:
        wait_until(lambda: name in self.server.keys(self.bucket), 30)
        return True


@pytest.fixture
def box(paths: Paths, rclone_s3: S3Server, rclone_proxy: FaultProxy) -> Iterator[Box]:
    made = Box(paths, rclone_s3, rclone_s3.new_bucket(), Queue(paths))
    VaultFile(vault_path(paths), cost=CHEAP).create(PASSPHRASE)  # as create-vault, but cheap to open
    results = [made.run("credentials", "use", "vault")]
    settings = {"type": "aws_s3", "container": made.bucket, "endpoint_url": rclone_proxy.url, "region": REGION, **QUICK}
    results += [made.run("set-config", "minio", key, value) for key, value in list(settings.items())[:1]]
    tree = json.loads(paths.config_file.read_text())
    tree["providers"]["minio"].update(
        {key: float(value) if key in QUICK else value for key, value in list(settings.items())[1:]}
    )
    tree["providers"]["minio"]["max_retries"] = 1
    paths.config_file.write_text(json.dumps(tree))
    results.append(made.run("set-credentials", "minio", "-u", ACCESS_KEY, stdin=SECRET_KEY, passphrase=True))
    results.append(made.run("test-providers", "minio", passphrase=True))
    results.append(made.run("enable-provider", "minio"))
    assert [(result.code, result.err) for result in results if result.code] == []
    yield made
    assert stop_worker(made.paths)
    made.queue.close()


def test_a_transfer_outlives_its_starter_and_after_a_kill_it_asks_to_unlock(box: Box, rclone_proxy: FaultProxy):
    held = rclone_proxy.fault(Fault.stall(), put_object("first"), times=None)
    assert box.run("upload", str(box.file("first")), "--detach", passphrase=True).code == 0
    held.wait_held()  # the command has ended; the worker is sending
    beside = box.run("list", "--provider", "minio")  # with the worker's key, without a prompt
    assert beside.code == 0, beside.err
    held.release()
    assert box.arrived("first")
    rclone_proxy.forget()
    held = rclone_proxy.fault(Fault.stall(), put_object("second"), times=None)
    assert box.run("upload", str(box.file("second")), "--detach", passphrase=True).code == 0
    held.wait_held()
    box.everything_killed()
    held.release()
    rclone_proxy.forget()
    assert box.run("list", "--provider", "minio").code == ExitCode.CREDENTIAL_STORE
    asks = box.run("transfers", "wait")
    assert asks.code == ExitCode.CREDENTIAL_STORE, asks.err
    assert "the vault is locked" in asks.err
    assert "credentials unlock" in asks.err
    listed = box.run("transfers", "list", "--json").json()
    assert [item["state"] for item in listed["items"]].count("waiting") == 1
    assert any(job["held"] and job["held"]["kind"] == "vault_locked" for job in listed["jobs"])
    assert box.run("credentials", "unlock", passphrase=True).code == 0
    assert box.arrived("second")
    assert box.run("transfers", "wait").code == 0
    assert SECRET_KEY not in "".join(file.read_text() for file in box.paths.logs_dir.iterdir())


def test_a_timer_with_no_terminal_uses_the_key_that_systemd_gives(box: Box, tmp_path: Path):
    folder = tmp_path / "credentials"
    folder.mkdir()
    key = box.run("credentials", "unattended", "--print-key", passphrase=True)
    assert key.code == 0, key.err
    (folder / CREDENTIAL_NAME).write_text(key.out)
    given = {"CREDENTIALS_DIRECTORY": str(folder)}
    started = time.monotonic()
    done = box.run("upload", str(box.file("nightly")), environment=given)
    assert done.code == 0, done.err
    assert "verified" in done.out
    assert time.monotonic() - started < 30
    assert box.server.keys(box.bucket) == {"nightly"}
    wait_until(lambda: not box.worker(), 30)
    left = box.run("upload", str(box.file("later")), "--detach")  # no key: the vault is locked
    assert left.code == ExitCode.CREDENTIAL_STORE
    assert box.run("upload", str(box.file("later")), "--detach", passphrase=True).code == 0
    drained = box.run("transfers", "wait", environment=given)
    assert drained.code == 0, drained.err
    assert box.arrived("later")
