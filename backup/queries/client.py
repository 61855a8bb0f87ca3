"""The asking side of `python -m backup.queries`, so that no SDK is ever loaded in the process that draws. For an event
loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeVar

from backup.credentials import unlocking
from backup.queries.encoding import from_data, to_data
from backup.queries.questions import OnStep, ServiceQuestion
from backup.rpc import AsyncClient, ConnectionLost, TimedOut
from backup.system.paths import Paths
from backup.system.terminal import UTF8_OPTIONS
from providers.contract.report import CheckStep, StepName
from providers.secret import Secret

A = TypeVar("A")

_LOG: Final = logging.getLogger(__name__)

_MARGIN_S: Final = 10.0
"""What starting the child may add to a question's own limit."""
_TRIES: Final = 3
_PING_EVERY_S: Final = 3.0
_PING_LIMIT_S: Final = 5.0
_START_LIMIT_S: Final = 30.0


class QuestionsClient:
    """As `backup.queries.answers.Questions`, but asks a child process over its pipes, several at once by request id.

    The child starts with the first question and ends with `close()` or when this process ends. A child that died or
    hangs is replaced, and questions that are `repeatable` are asked again. Each question has a time limit and can be
    cancelled as any coroutine.
    """

    def __init__(
        self,
        paths: Paths,
        *,
        argv: Sequence[str] = (),
        ping_every_s: float = _PING_EVERY_S,
        ping_limit_s: float = _PING_LIMIT_S,
    ) -> None:
        """`argv` (another child) and the pings' times are for tests."""
        self._paths = paths
        self._argv = argv or (sys.executable, *UTF8_OPTIONS, "-P", "-m", "backup.queries")
        self._ping_every_s = ping_every_s
        self._ping_limit_s = ping_limit_s
        self._child: AsyncClient | None = None
        self._started: AsyncClient | None = None
        """The child that has answered something: starting takes a while on a slow machine."""
        self._handed: tuple[AsyncClient | None, Secret | None] = (None, None)
        """Which child was given what opens the vault."""
        self._starting = asyncio.Lock()
        self._under_way = 0
        self._watch: asyncio.Task[None] | None = None
        self._closed = False

    async def ask(self, question: ServiceQuestion[A], on_step: OnStep | None = None) -> A:
        """The answer; `on_step` hears of each step of a check, once. Raises what `Questions.ask` raises, TimedOut,
        ConnectionLost."""
        told: set[StepName] = set()

        def step(found: CheckStep) -> None:
            """Steps that were reported before the child was replaced are not reported again."""
            if on_step and found.name not in told:
                told.add(found.name)
                on_step(found)

        params = to_data(question.for_another_folder())
        self._under_way += 1
        try:
            tries = 0
            while True:
                tries += 1
                child = await self._living_child()
                try:
                    await self._hand_over(child)
                    data = await child.call(
                        question.method(),
                        params,
                        timeout_s=question.limit_s + _MARGIN_S,
                        on_event=step if on_step else None,
                        event_type=CheckStep,
                    )
                    self._started = child
                    answer: A = from_data(data, question.answer_type())
                    return answer
                except ConnectionLost:
                    if self._closed or not question.repeatable or tries == _TRIES:
                        raise
                    _LOG.warning("the queries process was lost during %s; asking a new one", question.method())
        finally:
            self._under_way -= 1

    async def close(self) -> None:
        """End the child. Questions under way raise ConnectionLost. May be called twice."""
        self._closed = True
        if self._watch:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None
        if self._child:
            child, self._child = self._child, None
            await child.close()

    async def _hand_over(self, child: AsyncClient) -> None:
        """Whether this process has the vault open, its child has, before it is asked anything: revealed here alone, for
        a pipe that nobody else reads."""
        key = unlocking.handover(self._paths)
        if (child, key) == self._handed or (key is None and self._handed[0] is not child):
            return
        self._handed = (child, key)
        if key is None:
            await child.call("lock", {}, timeout_s=_PING_LIMIT_S)
        else:
            await child.call("unlock", {"key": key.reveal()}, timeout_s=_START_LIMIT_S)

    async def _living_child(self) -> AsyncClient:
        async with self._starting:
            if self._closed:
                raise ConnectionLost("the program is closing")
            if self._child is None or self._child.lost:
                if self._child:
                    await self._child.close()
                self._child = await AsyncClient.spawn(self._argv, env=self._paths.environment(), cwd=_package_parent())
                self._watch_over(self._child)
            return self._child

    def _watch_over(self, child: AsyncClient) -> None:
        if self._watch:
            self._watch.cancel()
        self._watch = asyncio.get_running_loop().create_task(self._end_when_hung(child), name="queries-watch")

    async def _end_when_hung(self, child: AsyncClient) -> None:
        """While questions are under way the child has to answer pings; one that does not is killed, and its questions
        are asked again. A slow service is no hung child: pings are answered beside it."""
        while not child.lost:
            await asyncio.sleep(self._ping_every_s)
            if not self._under_way:
                continue
            try:
                await child.call("ping", timeout_s=self._ping_limit_s if self._started is child else _START_LIMIT_S)
                self._started = child
            except TimedOut:
                _LOG.warning("the queries process does not answer; ending it")
                if child.process:
                    with contextlib.suppress(ProcessLookupError):
                        child.process.kill()
                return
            except ConnectionLost:
                return


def _package_parent() -> Path:
    """`python -m` looks in the current folder first: never in one of the user's, where a `backup` may lie."""
    return Path(__file__).resolve().parents[2]
