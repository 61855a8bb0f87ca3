"""Faults between a client and a server, as values."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum


class Side(Enum):
    REQUEST = "request"
    RESPONSE = "response"


class Action(Enum):
    REFUSE = "refuse"
    """Reset the connection before anything reaches the server."""
    ANSWER = "answer"
    """The proxy answers; the server does not see the request."""
    RESET = "reset"
    CUT = "cut"
    """Close the connection with a FIN, too early."""
    STALL = "stall"
    """No byte moves until released."""
    FLIP = "flip"
    """Change one byte."""
    SLOW = "slow"
    DELAY = "delay"
    LOSE_REPLY = "lose reply"
    """The server processes the request; the client sees a reset."""
    REWRITE = "rewrite"
    """The client receives a changed reply."""
    SAY = "say"
    """The proxy sends these bytes and hangs up; the server does not see the request."""


@dataclass(frozen=True)
class Reply:
    """A complete reply of the server. Edits are sent as they are, even if they make no sense."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    interim: bytes = b""
    """Heads of interim replies (1xx) to send first."""

    def header(self, name: str) -> str:
        return next((value for known, value in self.headers if known.lower() == name.lower()), "")

    def without(self, *names: str) -> Reply:
        gone = {name.lower() for name in names}
        return replace(self, headers=tuple(item for item in self.headers if item[0].lower() not in gone))

    def having(self, name: str, *values: str) -> Reply:
        """The reply with this header in place of others of that name; several values give several headers."""
        return replace(self, headers=(*self.without(name).headers, *((name, value) for value in values)))

    def holding(self, body: bytes | str) -> Reply:
        """The reply with this body and its length."""
        data = body.encode() if isinstance(body, str) else body
        return replace(self, body=data).having("Content-Length", str(len(data)))


Edit = Callable[[Reply], Reply]


@dataclass(frozen=True)
class Fault:
    """A single fault, built by the class methods. Byte positions count the body's content from 0.

    `at=None` means before the head of that side is forwarded.
    """

    action: Action
    side: Side = Side.REQUEST
    at: int | None = None
    status_code: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    early: bool = False
    rate_bytes_per_s: float = 0.0
    delay_s: float = 0.0
    edit: Edit | None = None
    together_bytes: int | None = None
    """Total content of all matching requests, after which every request with more content is reset."""

    @classmethod
    def refuse(cls) -> Fault:
        return cls(Action.REFUSE)

    @classmethod
    def status(
        cls,
        status: int,
        body: bytes | str = b"",
        *,
        headers: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
        early: bool = False,
    ) -> Fault:
        """Answer with `status` after reading the whole request. `early`: without waiting for its body, then hang up."""
        data = body.encode() if isinstance(body, str) else body
        extra = dict(headers or {})
        if retry_after_s is not None:
            extra["Retry-After"] = f"{retry_after_s:g}"
        if data and "Content-Type" not in extra:
            extra["Content-Type"] = "application/xml"
        return cls(Action.ANSWER, status_code=status, headers=extra, body=data, early=early)

    @classmethod
    def reset(cls, side: Side = Side.REQUEST, at: int | None = 0) -> Fault:
        return cls(Action.RESET, side, at)

    @classmethod
    def cut_line(cls, after_bytes: int) -> Fault:
        """Cut the line once requests have carried this many bytes in total: all of them and later ones are reset."""
        no_byte_of_its_own = -1
        return cls(Action.RESET, at=no_byte_of_its_own, together_bytes=after_bytes)

    @classmethod
    def truncate(cls, at: int) -> Fault:
        """End the reply's body after `at` bytes, with a FIN."""
        return cls(Action.CUT, Side.RESPONSE, at)

    @classmethod
    def stall(cls, side: Side = Side.REQUEST, at: int | None = 0) -> Fault:
        return cls(Action.STALL, side, at)

    @classmethod
    def flip(cls, side: Side, at: int = 0) -> Fault:
        return cls(Action.FLIP, side, at)

    @classmethod
    def slow(cls, rate_bytes_per_s: float, side: Side = Side.REQUEST) -> Fault:
        return cls(Action.SLOW, side, rate_bytes_per_s=rate_bytes_per_s)

    @classmethod
    def delay(cls, seconds: float) -> Fault:
        return cls(Action.DELAY, delay_s=seconds)

    @classmethod
    def say(cls, data: bytes) -> Fault:
        return cls(Action.SAY, body=data)

    @classmethod
    def lost_reply(cls) -> Fault:
        return cls(Action.LOSE_REPLY)

    @classmethod
    def rewrite(cls, edit: Edit) -> Fault:
        """Forward the server's reply changed by `edit`. The whole body is read first."""
        return cls(Action.REWRITE, edit=edit)


@dataclass
class SeenRequest:
    """One request seen by the proxy. Updated while in progress."""

    index: int
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Lower-case names."""
    started_at: float
    body_bytes: int = 0
    """Content received from the client so far."""
    declared_bytes: int | None = None
    forwarded: bool = False
    """The server received the whole request."""
    status: int | None = None
    """Status sent to the client, or that would have been sent (lost reply)."""
    reply_bytes: int = 0
    fault: Action | None = None
    replied_at: float | None = None
    """Time just before the latest bytes of the reply were forwarded: from then on the client may continue."""
    ended_at: float | None = None

    @property
    def done(self) -> bool:
        return self.ended_at is not None

    @property
    def ok(self) -> bool:
        """The server accepted it, whether or not the client received the answer."""
        return self.forwarded and self.status is not None and 200 <= self.status < 300


When = Callable[[SeenRequest], bool]


def any_request(request: SeenRequest) -> bool:
    return True


class Rule:
    """A fault and the requests that it applies to. `fault` is None for a rule that only counts."""

    def __init__(self, fault: Fault, when: When, *, skip: int, times: int | None, changed: threading.Condition) -> None:
        self.fault = fault
        self._when = when
        self._skip = skip
        self._left = times
        self._changed = changed
        self.released = threading.Event()
        self.hits = 0
        """Number of requests it has applied to."""
        self.carried_bytes = 0
        self.holding = 0
        """Number of requests currently stalled by it."""

    def meets(self, request: SeenRequest) -> bool:
        """True if it applies to this request, which it then counts. Called with the proxy's lock held."""
        if self._left == 0 or not self._when(request):
            return False
        if self._skip:
            self._skip -= 1
            return False
        if self._left is not None:
            self._left -= 1
        self.hits += 1
        self._changed.notify_all()
        return True

    def carry(self, count_bytes: int) -> int:
        """How many of these content bytes may be forwarded."""
        limit = self.fault.together_bytes
        if limit is None:
            return count_bytes
        with self._changed:
            passing = min(count_bytes, limit - self.carried_bytes)
            self.carried_bytes += passing
        return passing

    def hold(self, by: int) -> None:
        with self._changed:
            self.holding += by
            self._changed.notify_all()

    def release(self) -> None:
        """Let stalled requests continue, and apply to no more requests."""
        with self._changed:
            self._left = 0
        self.released.set()

    def wait_hit(self, count: int = 1, timeout_s: float = 30.0) -> None:
        self._wait(lambda: self.hits >= count, f"{count} hit(s)", timeout_s)

    def wait_held(self, count: int = 1, timeout_s: float = 30.0) -> None:
        """Wait until `count` requests are stalled by this rule at the same time."""
        self._wait(lambda: self.holding >= count, f"{count} held", timeout_s)

    def wait_let_go(self, timeout_s: float = 30.0) -> None:
        """Wait until this rule stalls no request: released, or the client hung up."""
        self._wait(lambda: self.holding == 0, "none held", timeout_s)

    def _wait(self, reached: Callable[[], bool], what: str, timeout_s: float) -> None:
        with self._changed:
            if not self._changed.wait_for(reached, timeout_s):
                state = f"hits {self.hits}, held {self.holding}"
                raise AssertionError(f"{self.fault.action.value}: waited {timeout_s:g} s for {what}; {state}")
