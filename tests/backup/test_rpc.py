"""The message framing: sync and async ends, over sockets and over a child's pipes."""

from __future__ import annotations

import contextlib
import functools
import io
import math
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backup.model.transfers import ItemKind, LocalEntry
from backup.rpc import Client, ConnectionLost, RpcCall, Server, TimedOut, framing, sockets
from providers.contract.cancel import CancelToken
from providers.errors import Authentication, Cancelled, InvalidConfiguration, ProviderError, Unsupported
from providers.secret import Secret

ODD_NAME = "caf\udce9\n\x1b[31m"


def echo(call: RpcCall) -> Any:
    return call.params


def count(call: RpcCall) -> int:
    for number in range(call.params["to"]):
        call.event(number)
    return int(call.params["to"])


def refuse(call: RpcCall) -> None:
    raise InvalidConfiguration("region: unknown", field="region", hint="Write eu-central-1.")


def crash(call: RpcCall) -> None:
    raise ValueError("hunter2")


def leak(call: RpcCall) -> Any:
    return {"password": Secret("hunter2")}


def hang(call: RpcCall) -> None:
    call.cancel.wait(30)


HANDLERS: dict[str, Callable[[RpcCall], Any]] = {
    "echo": echo, "count": count, "refuse": refuse, "crash": crash, "leak": leak, "hang": hang,
}  # fmt: skip


@contextmanager
def served(handlers: dict[str, Callable[[RpcCall], Any]], max_calls: int = 64) -> Iterator[socket.socket]:
    """A socket with a server at the other end; its thread has ended when the block does."""
    here, there = socket.socketpair()

    def serve() -> None:
        with there, there.makefile("rb") as reader, there.makefile("wb", buffering=0) as writer:
            Server(handlers, max_calls=max_calls).serve(reader, writer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with here:
        yield here
        with contextlib.suppress(OSError):
            here.shutdown(socket.SHUT_RDWR)
    thread.join(5)
    assert not thread.is_alive()


@contextmanager
def asking(handlers: dict[str, Callable[[RpcCall], Any]]) -> Iterator[Client]:
    with served(handlers) as here:
        shut = functools.partial(here.shutdown, socket.SHUT_RDWR)
        reader, writer = here.makefile("rb"), here.makefile("wb", buffering=0)
        with contextlib.suppress(OSError), Client(reader, writer, close=shut) as client:
            yield client


@pytest.fixture
def client() -> Iterator[Client]:
    with asking(HANDLERS) as connected:
        yield connected


def test_values_and_names_that_are_not_utf8_are_returned_unchanged(client: Client) -> None:
    entry = LocalEntry(name=ODD_NAME, kind=ItemKind.FILE, size_bytes=3, modified_at=1.5)
    answer = client.call("echo", {"entry": entry, "none": None}, timeout_s=5, result_type=dict[str, LocalEntry | None])
    assert answer == {"entry": entry, "none": None}


def test_events_come_in_order_before_the_result(client: Client) -> None:
    seen: list[int] = []
    assert client.call("count", {"to": 100}, timeout_s=5, on_event=seen.append) == 100
    assert seen == list(range(100))


def test_an_error_is_raised_again_as_the_same_class_with_field_and_hint(client: Client) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        client.call("refuse", timeout_s=5)
    assert (caught.value.field, caught.value.hint) == ("region", "Write eu-central-1.")
    with pytest.raises(Unsupported):
        client.call("nonsense", timeout_s=5)


@pytest.mark.parametrize("method", ["crash", "leak"])
def test_an_unexpected_error_is_sent_without_its_text(client: Client, method: str) -> None:
    with pytest.raises(ProviderError) as caught:
        client.call(method, timeout_s=5)
    assert "hunter2" not in str(caught.value)
    assert client.call("echo", {"still": "there"}, timeout_s=5) == {"still": "there"}


def test_a_call_ends_at_its_time_limit_and_others_continue(client: Client) -> None:
    with pytest.raises(TimedOut):
        client.call("hang", timeout_s=0.05)
    assert client.call("echo", {"a": 1}, timeout_s=5) == {"a": 1}


def test_a_call_that_is_cancelled_ends_on_both_sides() -> None:
    begun, ended = threading.Event(), threading.Event()

    def wait(call: RpcCall) -> None:
        begun.set()
        try:
            call.cancel.wait(30)
        except Cancelled:
            ended.set()
            raise

    token = CancelToken()

    def give_up() -> None:
        begun.wait(5)
        token.cancel()

    with asking({"wait": wait}) as client:
        threading.Thread(target=give_up).start()
        with pytest.raises(Cancelled):
            client.call("wait", timeout_s=math.inf, cancel=token)
        assert ended.wait(5)


def test_a_lost_connection_ends_calls_and_cancels_handlers() -> None:
    begun, cancelled = threading.Event(), threading.Event()

    def wait(call: RpcCall) -> None:
        with call.cancel.calling(cancelled.set):
            begun.set()
            cancelled.wait(5)

    with asking({"wait": wait}) as client:

        def cut() -> None:
            begun.wait(5)
            client.close()

        threading.Thread(target=cut).start()
        with pytest.raises(ConnectionLost):
            client.call("wait", timeout_s=5)
        assert cancelled.wait(5)
        assert client.lost
        with pytest.raises(ConnectionLost):
            client.call("wait", timeout_s=5)


@pytest.mark.parametrize("line", [b"{}\n", b"garbage\n", b"[" * 5000 + b"\n", b'{"id": "x", "method": 3}\n'])
def test_nonsense_ends_the_connection_and_nothing_else(line: bytes) -> None:
    with served(HANDLERS) as here:
        here.sendall(line)
        here.settimeout(5)
        assert here.recv(10) == b""


def test_a_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "MAX_LINE_BYTES", 1000)
    with pytest.raises(ConnectionLost, match="too long"):
        framing.read_line(io.BytesIO(b"x" * 1500))


def test_too_many_concurrent_requests_are_refused() -> None:
    with served(HANDLERS, max_calls=1) as here, here.makefile("rb") as lines:
        here.sendall(b'{"id":1,"method":"hang"}\n{"id":2,"method":"echo"}\n')
        answer = msgspec.json.decode(lines.readline())
        assert (answer["id"], answer["error"]["kind"]) == (2, "rate_limited")


CHILD = """
import sys
from backup.rpc import Server
from tests.backup.test_rpc import HANDLERS
Server(HANDLERS).serve(sys.stdin.buffer, sys.stdout.buffer)
"""


def test_a_client_sends_a_child_several_requests_at_once() -> None:
    ours, theirs = socket.socketpair()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD], stdin=theirs.fileno(), stdout=theirs.fileno(), env=environment
        )
    cancel = CancelToken()
    with Client.over(ours) as client, ThreadPoolExecutor(3) as threads:
        seen: list[int] = []
        hanging = threads.submit(client.call, "hang", timeout_s=30, cancel=cancel)
        counting = threads.submit(client.call, "count", {"to": 3}, timeout_s=20, on_event=seen.append)
        naming = threads.submit(client.call, "echo", {"name": ODD_NAME}, timeout_s=20, result_type=dict[str, str])
        assert (counting.result(), naming.result(), seen) == (3, {"name": ODD_NAME}, [0, 1, 2])
        with pytest.raises(TimedOut):
            client.call("hang", timeout_s=0.05)
        with pytest.raises(InvalidConfiguration):
            client.call("refuse", timeout_s=5)
        cancel.cancel()
        with pytest.raises(Cancelled):
            hanging.result()
        process.kill()
        process.wait()
        with pytest.raises(ConnectionLost):
            client.call("hang", timeout_s=10)
        assert client.lost


def test_a_send_without_a_reader_ends_in_time() -> None:
    ours, theirs = socket.socketpair()
    with theirs, Client.over(ours, send_limit_s=1) as client:
        with pytest.raises(ConnectionLost):
            client.call("echo", {"name": "x" * 10_000_000}, timeout_s=30)
        assert client.lost


def test_a_socket_at_a_path_of_any_length_is_the_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 120)
    folder.mkdir()
    path = folder / "worker.sock"
    with pytest.raises(ConnectionLost):
        Client.connect(path)
    listening = sockets.listen(path)
    try:
        assert path.stat().st_mode & 0o777 == 0o600

        def answer() -> None:
            connection, _ = listening.accept()
            with connection, connection.makefile("rb") as reader, connection.makefile("wb", buffering=0) as writer:
                Server(HANDLERS).serve(reader, writer)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with Client.connect(path) as client:
            assert client.call("echo", {"a": 1}, timeout_s=5) == {"a": 1}
        thread.join(5)
        assert not thread.is_alive()
    finally:
        listening.close()


def test_another_users_process_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listening = sockets.listen(tmp_path / "s")
    try:
        monkeypatch.setattr(os, "getuid", lambda: 4242)
        monkeypatch.setattr("struct.unpack", lambda form, data: (1, 4243, 1))
        with pytest.raises(ConnectionLost):
            Client.connect(tmp_path / "s")
    finally:
        listening.close()


def test_errors_cross_as_their_class() -> None:
    error = framing.error_of(Authentication("no", code="InvalidAccessKeyId")).error()
    assert isinstance(error, Authentication)
    assert error.code == "InvalidAccessKeyId"
