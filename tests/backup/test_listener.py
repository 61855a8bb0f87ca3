"""The worker's socket: neither failures nor misbehaving clients keep others from being served."""

from __future__ import annotations

import errno
import itertools
import os
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backup.files.scan import walk_local
from backup.journal import schema
from backup.model.transfers import ItemKind
from backup.rpc import Client, ConnectionLost, sockets
from backup.system.paths import Paths
from backup.system.private_files import private_folder
from backup.worker import listener as listening
from backup.worker.listener import Listener
from backup.worker.progress import ProgressBoard
from backup.worker.wakeup import Wakeup
from providers import errors
from providers.errors import PermissionDenied, Transient
from providers.http.errors import connection_failure
from tests.backup.queue_support import wait_until
from tests.processes import stop_worker

ROOT = Path(__file__).resolve().parents[2]


class IdleDrain:
    leaving = False

    def lanes_busy(self) -> list[str]:
        return []


@pytest.fixture
def listener(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    monkeypatch.setattr(listening, "_AGAIN_S", 0.01)
    monkeypatch.setattr(listening, "_PATIENCE_S", 0.2)
    private_folder(paths.state_dir)
    opened = Listener(paths, IdleDrain(), ProgressBoard(), Wakeup())  # type: ignore[arg-type]
    yield opened
    opened.close()


def answers(paths: Paths) -> bool:
    try:
        with Client.connect(paths.worker_socket) as client:
            return bool(client.call("status", timeout_s=5)["pid"] == os.getpid())
    except ConnectionLost:
        return False


def raw(paths: Paths) -> socket.socket:
    sock = wait_until(lambda: _connected(paths), every_s=0.001)
    assert sock is not None
    sock.settimeout(5)
    return sock


def _connected(paths: Paths) -> socket.socket | None:
    try:
        return sockets.connect(paths.worker_socket, 5)
    except ConnectionLost:  # the system's backlog is full
        return None


class Troubled:
    """A listening socket that cannot accept connections for a while."""

    def __init__(self, real: socket.socket, number: int) -> None:
        self.real = real
        self.number = number
        self.refused = 0

    def accept(self) -> Any:
        if self.refused < 3:
            self.refused += 1
            raise OSError(self.number, os.strerror(self.number))
        return self.real.accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


@pytest.mark.parametrize(
    "number",
    [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED, errno.EPERM, errno.EINVAL],
    ids=lambda number: errno.errorcode[number],
)
def test_it_accepts_connections_again_after_any_error(listener: Listener, paths: Paths, number: int) -> None:
    assert answers(paths)
    troubled = Troubled(listener._socket, number)
    listener._socket = troubled  # type: ignore[assignment]
    assert answers(paths)  # the call that already waits, then those that fail
    assert answers(paths)
    assert troubled.refused == 3


def test_one_process_cannot_take_all_connections(listener: Listener, paths: Paths) -> None:
    silent = [raw(paths) for _ in range(200)]
    try:
        wait_until(lambda: len(listener._connections) == 16)
        assert sum(sock.recv(1) == b"" for sock in silent[16:]) == 184  # dropped at once
        wait_until(lambda: not listener._connections)  # and silent ones a little later
        assert answers(paths)
    finally:
        for sock in silent:
            sock.close()


def test_the_connections_of_all_processes_together_are_limited(
    listener: Listener, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_PATIENCE_S", 30.0)
    others = itertools.count(10_000_000)  # each seems to come from another process
    monkeypatch.setattr(sockets, "peer", lambda connection: (next(others), os.getuid()))
    taken = [raw(paths) for _ in range(64)]
    try:
        wait_until(lambda: len(listener._connections) == 64)
        for _ in range(3):
            with raw(paths) as one_too_many:
                assert one_too_many.recv(1) == b""
        assert len(listener._connections) == 64
        taken.pop().close()
        wait_until(lambda: len(listener._connections) == 63)
        assert answers(paths)
    finally:
        for sock in taken:
            sock.close()


FEW = """import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 2048))
os.execv(sys.argv[1], sys.argv[1:])"""


def test_a_worker_raises_its_limit_of_open_files(paths: Paths) -> None:
    """The process that starts it may have few: 64 here, and 2,048 on request."""
    private_folder(paths.state_dir)
    command = [sys.executable, "-c", FEW, sys.executable, "-m", "backup.worker", "--linger", "30"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL) as worker:
        try:
            wait_until(lambda: paths.worker_socket.exists())
            limits = Path(f"/proc/{worker.pid}/limits").read_text()
        finally:
            assert stop_worker(paths)
        assert worker.wait(10) == 0
    assert re.search(r"^Max open files +2048 +2048 ", limits, re.MULTILINE)


@pytest.mark.parametrize("sent", [b'{"id": 1', b"x" * 200_000])
def test_a_client_that_never_ends_its_request_is_dropped(listener: Listener, paths: Paths, sent: bytes) -> None:
    with raw(paths) as sock:
        try:
            sock.sendall(sent)
            assert sock.recv(1) == b""
        except (BrokenPipeError, ConnectionResetError):
            pass
    wait_until(lambda: not listener._connections)
    assert answers(paths)


def test_a_connection_may_be_kept_between_requests(listener: Listener, paths: Paths) -> None:
    with Client.connect(paths.worker_socket) as client:
        client.call("status", timeout_s=5)
        time.sleep(0.3)  # longer than a first request may take
        assert client.call("status", timeout_s=5)["pid"] == os.getpid()


def test_the_listener_ends_when_it_is_closed(listener: Listener, paths: Paths) -> None:
    listener.close()
    assert not answers(paths)
    wait_until(lambda: all(thread.name != "listener" for thread in threading.enumerate()))


@pytest.fixture
def exhausted(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no file could be opened."""
    failure = errors._no_descriptors(errno.EMFILE, "")
    monkeypatch.setattr("providers.http.errors.descriptors_exhausted", lambda: failure)
    monkeypatch.setattr("backup.journal.schema.descriptors_exhausted", lambda: failure)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_too_many_open_files_are_not_a_failing_disk(number: int) -> None:
    for error in (
        errors.from_os_error(OSError(number, os.strerror(number)), "/file"),
        connection_failure(OSError(number, os.strerror(number)), "host", 443, 5),
    ):
        assert isinstance(error, Transient)
        assert errors.lacks_descriptors(error)
        assert "disk" not in error.message + error.hint
        assert "open" in error.message


def test_the_cause_of_an_error_is_found_and_circular_causes_end() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert errors.shortage(first) is None
    second.__cause__ = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    found = errors.shortage(first)
    assert found is not None
    assert found.code == "EMFILE"


@pytest.mark.usefixtures("exhausted")
def test_an_unspecific_error_of_a_library_is_explained() -> None:
    looked_up = connection_failure(socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "host", 443, 5)
    opened = schema.unusable(sqlite3.OperationalError("unable to open database file"), Path("journal.sqlite"))
    for error in (looked_up, opened):
        assert error.code == "EMFILE"
        assert "its limit of open files" in error.message
        assert not isinstance(error, PermissionDenied)


def test_a_walk_without_descriptors_is_tried_again_and_fails_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "top" / "below").mkdir(parents=True)
    (tmp_path / "top" / "below" / "file").write_bytes(b"x")

    def scandir(path: Any) -> Any:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", scandir)
        with pytest.raises(Transient, match="its limit of open files"):
            list(walk_local([tmp_path / "top"]))
    ((found,),) = walk_local([tmp_path / "top"])
    assert (found.kind, found.error) == (ItemKind.FILE, None)
