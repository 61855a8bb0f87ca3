"""One request and its reply on their way through the fault proxy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus

from providers.testing.faults import Action, Fault, Reply, Rule, SeenRequest, Side
from providers.testing.wire import Gone, Piece, RequestHead, ResponseHead, Stream, pieces, wait_readable

_TICK_S = 0.02
_MAX_STALL_S = 60.0
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Reset(Exception):
    """Reset both connections (RST, not FIN)."""


class Hangup(Exception):
    """Close both connections with a FIN."""


@dataclass
class Exchange:
    """Forwards one request and its reply unchanged, except for the fault of `rule`."""

    client: Stream
    connect: Callable[[], Stream]
    """Connects to the server on first use."""
    head: RequestHead
    seen: SeenRequest
    rule: Rule | None
    closing: threading.Event
    changed: threading.Condition
    timeout_s: float

    def run(self) -> bool:
        """True if both connections can carry another request. Raises Reset, Hangup or Gone."""
        match self._action():
            case Action.REFUSE:
                raise Reset
            case Action.ANSWER:
                return self._answer(self._fault())
            case Action.SAY:
                self._take_request()
                self._reply(self._fault().body)
                raise Hangup
            case Action.DELAY:
                self._pause(self._fault().delay_s)
            case _:
                self._before(Side.REQUEST)
        server = self.connect()
        early = self._send_request(server)
        if early is None:
            self._note(forwarded=True)
        head = early or self._reply_head(server)
        self._note(status=head.status)
        kept = self._relay_reply(server, head)
        return kept and early is None

    def _fault(self) -> Fault:
        assert self.rule is not None
        return self.rule.fault

    def _action(self) -> Action | None:
        return self.rule.fault.action if self.rule else None

    def _reply(self, data: bytes) -> None:
        self.seen.replied_at = time.monotonic()
        self.client.send(data)

    def _note(self, *, sent: int = 0, got: int = 0, forwarded: bool = False, status: int | None = None) -> None:
        with self.changed:
            self.seen.body_bytes += sent
            self.seen.reply_bytes += got
            self.seen.forwarded = self.seen.forwarded or forwarded
            self.seen.status = self.seen.status if status is None else status
            self.changed.notify_all()

    # Request.

    def _send_request(self, server: Stream) -> ResponseHead | None:
        """Send the whole request. Returns the reply's head if the server answers early."""
        server.send(self.head.raw)
        if self.head.expects_continue:
            early = self._await_continue(server)
            if early:
                return early
        body = pieces(self.client, self.head.body, self.head.headers)
        try:
            for _ in self._pump(body, server, Side.REQUEST):
                early = self._early_reply(server)
                if early:
                    return early
        except Gone:
            if self.client.hung_up():
                raise
            return self._reply_head(server)
        return None

    def _await_continue(self, server: Stream) -> ResponseHead | None:
        ready = wait_readable([server, self.client], watch=self.client, timeout_s=self.timeout_s)
        return self._early_reply(server) if ready is server else None

    def _early_reply(self, server: Stream) -> ResponseHead | None:
        """A final reply that has already arrived; interim ones are passed on."""
        while wait_readable([server], timeout_s=0):
            head = ResponseHead.parse(server.read_head() or b"HTTP/1.1 000 gone\r\n\r\n")
            if not head.status:
                raise Gone("the server hung up")
            if head.status >= 200:
                return head
            self.client.send(head.raw)
        return None

    # Reply.

    def _reply_head(self, server: Stream) -> ResponseHead:
        while True:
            raw = server.read_head(watch=self.client)
            if not raw:
                raise Gone("the server hung up")
            head = ResponseHead.parse(raw)
            if head.status >= 200:
                return head
            self.client.send(raw)

    def _relay_reply(self, server: Stream, head: ResponseHead) -> bool:
        body = pieces(server, head.body(self.head.method), head.headers, watch=self.client)
        if self._action() is Action.LOSE_REPLY:
            for _ in body:
                continue
            raise Reset
        if self._action() is Action.REWRITE:
            return self._rewritten(head, b"".join(piece.raw for piece in body if piece.is_content))
        self._before(Side.RESPONSE)
        self._reply(head.raw)
        for _ in self._pump(body, self.client, Side.RESPONSE):
            continue
        return not head.ends_connection(self.head.method)

    def _rewritten(self, head: ResponseHead, body: bytes) -> bool:
        edit = self._fault().edit
        assert edit is not None
        reply = Reply(head.status, head.pairs, body).without("Transfer-Encoding")
        changed = edit(reply if self.head.method == "HEAD" else reply.having("Content-Length", str(len(body))))
        self._note(status=changed.status)
        lines = "".join(f"{name}: {value}\r\n" for name, value in changed.headers)
        start = f"HTTP/1.1 {changed.status} {head.reason}\r\n{lines}\r\n".encode("latin-1")
        self._reply(changed.interim + start + (b"" if self.head.method == "HEAD" else changed.body))
        ends = changed.header("Content-Length") == str(len(changed.body)) or changed.header("Transfer-Encoding") != ""
        if self.head.method != "HEAD" and not ends:
            raise Hangup
        return not head.ends_connection(self.head.method)

    def _answer(self, fault: Fault) -> bool:
        if not fault.early:
            self._take_request()
        self._note(status=fault.status_code)
        headers = {**fault.headers, "Content-Length": str(len(fault.body))}
        if fault.early:
            headers["Connection"] = "close"
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        start = f"HTTP/1.1 {fault.status_code} {HTTPStatus(fault.status_code).phrase}\r\n"
        self._reply(f"{start}{lines}\r\n".encode() + (b"" if self.head.method == "HEAD" else fault.body))
        if fault.early:
            raise Hangup
        return True

    def _take_request(self) -> None:
        """Read the whole request without forwarding it."""
        if self.head.expects_continue:
            self.client.send(_CONTINUE)
        for piece in pieces(self.client, self.head.body, self.head.headers):
            self._note(sent=len(piece.raw) if piece.is_content else 0)

    # Bodies, and what happens to them.

    def _before(self, side: Side) -> None:
        if self.rule and self.rule.fault.side is side and self.rule.fault.at is None:
            self._strike()

    def _pump(self, body: Iterable[Piece], sink: Stream, side: Side) -> Iterable[None]:
        """Forward a body; yields before each piece of content."""
        fault = self.rule.fault if self.rule and self.rule.fault.side is side else None
        at = fault.at if fault else None
        passed = 0
        for piece in body:
            if not piece.is_content:
                sink.send(piece.raw)
                continue
            yield
            data = piece.raw
            if fault and at is not None and passed <= at < passed + len(data):
                data, passed, at = self._struck(fault, data, passed, at, sink, side), at, None
            passing = self.rule.carry(len(data)) if fault and self.rule else len(data)
            self._send_paced(data[:passing], sink, side, fault)
            if passing < len(data):
                raise Reset
            passed += len(data)
        if at == 0 and fault:
            self._strike()

    def _struck(self, fault: Fault, data: bytes, passed: int, at: int, sink: Stream, side: Side) -> bytes:
        """Apply the fault at byte `at`. Returns the rest of `data` to send from that byte on."""
        before, rest = data[: at - passed], data[at - passed :]
        self._send_paced(before, sink, side, None)
        if fault.action is Action.FLIP:
            return bytes([rest[0] ^ 0xFF]) + rest[1:]
        self._strike()
        return rest

    def _send_paced(self, data: bytes, sink: Stream, side: Side, fault: Fault | None) -> None:
        rate = fault.rate_bytes_per_s if fault else 0.0
        step = max(1, int(rate * _TICK_S)) if rate else max(1, len(data))
        for start in range(0, len(data), step):
            block = data[start : start + step]
            if side is Side.RESPONSE:
                self.seen.replied_at = time.monotonic()
            sink.send(block)
            self._note(sent=len(block) if side is Side.REQUEST else 0, got=len(block) if side is Side.RESPONSE else 0)
            if rate:
                self._pause(len(block) / rate)

    def _strike(self) -> None:
        match self._action():
            case Action.RESET:
                raise Reset
            case Action.CUT:
                raise Hangup
            case Action.STALL:
                self._stall()

    def _stall(self) -> None:
        assert self.rule is not None
        deadline = time.monotonic() + _MAX_STALL_S
        self.rule.hold(+1)
        try:
            while not self.rule.released.wait(_TICK_S):
                if self.closing.is_set() or self.client.hung_up() or time.monotonic() > deadline:
                    raise Gone("left while stalled")
        finally:
            self.rule.hold(-1)

    def _pause(self, seconds: float) -> None:
        if self.closing.wait(seconds) or self.client.hung_up():
            raise Gone("left while slowed")
