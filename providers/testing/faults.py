"""What can go wrong between a client and a server, as values."""

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
    """The connection is reset before anything reaches the server."""
    ANSWER = "answer"
    """The proxy answers; the server never learns of the request."""
    RESET = "reset"
    CUT = "cut"
    """The connection ends in good order, too early."""
    STALL = "stall"
    """Nothing moves until released."""
    FLIP = "flip"
    """One byte arrives changed."""
    SLOW = "slow"
    DELAY = "delay"
    LOSE_REPLY = "lose reply"
    """The server does its work; the client sees a reset."""
    REWRITE = "rewrite"
    """The server's reply reaches the client altered."""
    SAY = "say"
    """The proxy answers with just these bytes, and hangs up; the server never learns of the request."""


@dataclass(frozen=True)
class Reply:
    """A whole reply of the server. What is changed in it is sent just so, whether it makes sense or not."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    interim: bytes = b""
    """What goes out before it: heads of 1xx."""

    def header(self, name: str) -> str:
        return next((value for known, value in self.headers if known.lower() == name.lower()), "")

    def without(self, *names: str) -> Reply:
        gone = {name.lower() for name in names}
        return replace(self, headers=tuple(item for item in self.headers if item[0].lower() not in gone))

    def having(self, name: str, *values: str) -> Reply:
        """With this header in place of any other of the name; several values make several headers."""
        return replace(self, headers=(*self.without(name).headers, *((name, value) for value in values)))

    def holding(self, body: bytes | str) -> Reply:
        """With this body, and the length of it."""
        data = body.encode() if isinstance(body, str) else body
        return replace(self, body=data).having("Content-Length", str(len(data)))


Edit = Callable[[Reply], Reply]


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong. Built by its class methods; byte positions count the body's content from 0.

    `at=None` means before the head of that side is passed on.
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
    """Content that all requests of the rule may carry, before each that carries more is reset."""

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
        """Answer with `status` after reading the whole request; `early`: without waiting for its body, then hang up."""
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
        """The line goes once requests have carried so much together: all of them are reset, and later ones too."""
        no_byte_of_its_own = -1
        return cls(Action.RESET, at=no_byte_of_its_own, together_bytes=after_bytes)

    @classmethod
    def truncate(cls, at: int) -> Fault:
        """The reply's body ends after `at` bytes, and the connection in good order."""
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
        """Pass on what `edit` makes of the server's reply; its body is read whole before."""
        return cls(Action.REWRITE, edit=edit)


@dataclass
class SeenRequest:
    """One request as the proxy saw it. Grows while it is under way."""

    index: int
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    started_at: float
    body_bytes: int = 0
    """Content that arrived from the client so far."""
    declared_bytes: int | None = None
    forwarded: bool = False
    """The whole request reached the server."""
    status: int | None = None
    """What the client was answered, or would have been (lost reply)."""
    reply_bytes: int = 0
    fault: Action | None = None
    replied_at: float | None = None
    """When the last of the reply so far was about to be passed on: the client may go on from then."""
    ended_at: float | None = None

    @property
    def done(self) -> bool:
        return self.ended_at is not None

    @property
    def ok(self) -> bool:
        """The server took it, whatever the client learnt of that."""
        return self.forwarded and self.status is not None and 200 <= self.status < 300


When = Callable[[SeenRequest], bool]


def any_request(request: SeenRequest) -> bool:
    return True


class Rule:
    """A fault that waits for its requests. `fault` is None for a rule that only counts."""

    def __init__(self, fault: Fault, when: When, *, skip: int, times: int | None, changed: threading.Condition) -> None:
        self.fault = fault
        self._when = when
        self._skip = skip
        self._left = times
        self._changed = changed
        self.released = threading.Event()
        self.hits = 0
        """How many requests it has met."""
        self.carried_bytes = 0
        self.holding = 0
        """How many requests it holds stalled at this moment."""

    def meets(self, request: SeenRequest) -> bool:
        """Whether this request is one of its own; counts it. Called under the proxy's lock."""
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
        """How many of these bytes of content may pass."""
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
        """Let stalled requests go on, and let no more be met."""
        with self._changed:
            self._left = 0
        self.released.set()

    def wait_hit(self, count: int = 1, timeout_s: float = 30.0) -> None:
        self._wait(lambda: self.hits >= count, f"{count} hit(s)", timeout_s)

    def wait_held(self, count: int = 1, timeout_s: float = 30.0) -> None:
        """Until `count` requests are stalled by this rule at once."""
        self._wait(lambda: self.holding >= count, f"{count} held", timeout_s)

    def wait_let_go(self, timeout_s: float = 30.0) -> None:
        """Until none is stalled by this rule any more: released, or the client hung up."""
        self._wait(lambda: self.holding == 0, "none held", timeout_s)

    def _wait(self, reached: Callable[[], bool], what: str, timeout_s: float) -> None:
        with self._changed:
            if not self._changed.wait_for(reached, timeout_s):
                state = f"hits {self.hits}, held {self.holding}"
                raise AssertionError(f"{self.fault.action.value}: waited {timeout_s:g} s for {what}; {state}")
