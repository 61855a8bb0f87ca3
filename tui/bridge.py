"""The bridge between the screens, which never block, and the core, which does.

`call` runs a function of the core in a thread with a time limit. `ask` puts a question to the child process that talks
to storage services. `QueueChanged` and `InstancesChanged` tell the screens about changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import socket
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast

from textual.app import App
from textual.dom import DOMNode
from textual.message import Message

from backup.model.credentials import StoreState, StoreStatus
from backup.model.instances import InstanceInfo, InstanceState, ServiceInfo
from backup.model.transfers import ItemState, ItemView, QueueSnapshot, QueueTotals
from providers.contract.cancel import CancelToken
from providers.contract.report import CheckStep, ErrorInfo
from providers.errors import ProviderError, Transient
from tui.text import safe

if TYPE_CHECKING:
    from backup.core.core import Core
    from backup.queries.client import QuestionsClient
    from backup.queries.questions import OnStep, ServiceQuestion

T = TypeVar("T")

_LOG: Final = logging.getLogger(__name__)
LOCAL_INTERVAL_S: Final = 0.25
SSH_INTERVAL_S: Final = 1.0
_MAX_BACKLOG_WRITES: Final = 2
"""Progress is held back while more frames than this wait for a slow terminal: Textual drops none, and keys queue up
behind them."""
_HELP_EVERY_S: Final = 5.0
EMPTY_QUEUE: Final = QueueSnapshot(totals=QueueTotals(), jobs=(), items=(), item_count=0)


class QueueChanged(Message, bubble=False):
    """The queue has changed. A newer message replaces one that was not handled yet."""

    def __init__(self, snapshot: QueueSnapshot) -> None:
        super().__init__()
        self.snapshot = snapshot

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, QueueChanged)


class InstancesChanged(Message, bubble=False):
    """`bridge.instances`, `services` or `store` has changed."""


class StoreLocked(Message, bubble=False):
    """Sent once, to the app: the store that holds credentials is locked, and nothing opens it without the user."""


def _waits_for_key(item: ItemView) -> bool:
    error = item.error
    return item.state is ItemState.WAITING and error is not None and error.code == StoreState.LOCKED


class _HasBridge(Protocol):
    bridge: Bridge


def bridge_of(node: DOMNode) -> Bridge:
    """The bridge of the app that a screen or widget belongs to."""
    return cast(_HasBridge, node.app).bridge


def paint_interval_s(environment: Mapping[str, str]) -> float:
    """Seconds between two paintings of progress: 0.25, or 1 under SSH."""
    return SSH_INTERVAL_S if environment.get("SSH_CONNECTION") else LOCAL_INTERVAL_S


class Bridge:
    """The app calls `start` once it runs, and `close` before it ends. Attributes belong to the app's thread."""

    def __init__(
        self, app: App[Any], core: Core, questions: QuestionsClient, *, interval_s: float | None = None
    ) -> None:
        self.core = core
        self.questions = questions
        self.snapshot = EMPTY_QUEUE
        self.instances: tuple[InstanceInfo, ...] = ()
        self.services: tuple[ServiceInfo, ...] = ()
        self.store: StoreStatus | None = None
        self.problem: ErrorInfo | None = None
        """The reason why the configuration could not be read."""
        self._noticed = ""
        self.queue_problem: ErrorInfo | None = None
        """The reason why the queue cannot be read; an empty `snapshot` then does not mean an empty queue."""
        self.version = 0
        """Counts InstancesChanged, so that a screen that becomes visible again knows whether it missed one."""
        self.host = socket.gethostname()
        self.interval_s = paint_interval_s(os.environ) if interval_s is None else interval_s
        self._app = app
        self._stop = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._answers_version: int | None = None
        self._looked_at_lock = False
        self._helping: asyncio.Task[None] | None = None
        self._left_in_file: bool | None = None
        """Whether secrets stay in the configuration file until a store is open; None: not checked yet."""

    @property
    def ready_services(self) -> int:
        """The number of services with at least one instance that can be used now."""
        return len({info.type for info in self.instances if info.state is InstanceState.READY})

    def instance(self, name: str) -> InstanceInfo | None:
        return next((info for info in self.instances if info.name == name), None)

    async def call(self, function: Callable[..., T], /, *args: Any, timeout_s: float = 30.0, **kwargs: Any) -> T:
        """Run `function` in a thread and return its result or raise its ProviderError (any other error becomes one).

        Raises Transient after `timeout_s`; pass `math.inf` if `function` has a time limit of its own. The thread then
        runs on as a daemon.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(setter: Callable[[Any], None], value: object) -> None:
            if not future.done():
                setter(value)

        def run() -> None:
            try:
                outcome = partial(settle, future.set_result, function(*args, **kwargs))
            except ProviderError as error:
                outcome = partial(settle, future.set_exception, error)
            except Exception as error:  # screens show the error and go on
                _LOG.exception("%s failed", function)
                hint = "This is a bug in the program; the logs say more."
                wrapped = ProviderError(f"{type(error).__name__}: {error}", hint=hint)
                outcome = partial(settle, future.set_exception, wrapped)
            with contextlib.suppress(RuntimeError):  # the loop is closed: no one waits for the result
                loop.call_soon_threadsafe(outcome)

        threading.Thread(target=run, name=f"call-{getattr(function, '__name__', 'it')}", daemon=True).start()
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError as error:
            raise Transient(f"no answer within {timeout_s:.0f} s", hint="Try again; the logs say more.") from error

    async def ask(self, question: ServiceQuestion[T], on_step: OnStep | None = None) -> T:
        """`QuestionsClient.ask`, but with `on_step` called in the app's thread. If the caller is cancelled, so is the
        question."""
        loop = asyncio.get_running_loop()
        cancel = CancelToken()

        def report(step: CheckStep) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: no one waits for the result
                loop.call_soon_threadsafe(deliver, step)

        def deliver(step: CheckStep) -> None:
            if on_step and not cancel.cancelled:
                on_step(step)

        try:
            return await self.call(
                self.questions.ask, question, report if on_step else None, cancel=cancel, timeout_s=math.inf
            )
        finally:
            cancel.cancel()

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._follow, name="follow-queue", daemon=True).start()
        self.instances_changed()

    async def close(self) -> None:
        self._stop.set()
        for task in (self._refreshing, self._helping):
            if task is not None:
                task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3):
                await self.call(self.questions.close, timeout_s=math.inf)
                await self.call(self.core.close, timeout_s=2)

    def instances_changed(self) -> None:
        """Read the configuration and the credentials again after a change, then notify the screens."""
        if self._refreshing is not None:
            self._refreshing.cancel()
        self._refreshing = asyncio.get_running_loop().create_task(self._refresh())

    def learn(self, info: InstanceInfo) -> None:
        """Show an instance that was just saved at once, and read the rest again."""
        by_name = {each.name: each for each in self.instances}
        self.instances = tuple((by_name | {info.name: info}).values())
        self.instances_changed()

    async def _refresh(self) -> None:
        await self._adopt_secrets()
        try:
            self.services = await self.call(self.core.instances.services)
            self.instances = await self.call(self.core.instances.all)
            self.problem = None
        except ProviderError as error:
            self.problem = ErrorInfo.of(error)
        self._notify_screens()
        try:
            self.store = await self.call(self.core.credentials.status, timeout_s=5)
        except ProviderError as error:
            _LOG.warning("credential store: %s", error)
        self._notify_screens()
        if not self._looked_at_lock and self.store is not None:
            self._looked_at_lock = True
            await self._open_or_ask()
        if self._left_in_file and self._is_open:
            await self._adopt_secrets()
            self.instances_changed()

    @property
    def _is_open(self) -> bool:
        return self.store is not None and self.store.state is StoreState.READY

    async def _open_or_ask(self) -> None:
        """Once after the start: open a locked store the way unattended jobs do, or else ask the user."""
        needed = any(info.has_credentials for info in self.instances)
        if not needed or self.store is None or self.store.state is not StoreState.LOCKED:
            return
        try:
            await self.call(self.core.credentials.open, timeout_s=40)
            self.store = await self.call(self.core.credentials.status, timeout_s=5)
        except ProviderError as error:
            _LOG.warning("the credential store does not open by itself: %s", error)
        if self.store.state is StoreState.LOCKED:
            self._app.post_message(StoreLocked())
        else:
            self._notify_screens()

    async def _adopt_secrets(self) -> None:
        """Move secrets from the configuration file to the store, and tell the user. Runs at the start, and again when a
        store that was closed then has been opened."""
        if self._left_in_file is False or (self._left_in_file and not self._is_open):
            return
        notified_before = self._left_in_file is not None
        try:
            adoption = await self.call(self.core.credentials.adopt_secrets)
        except ProviderError as error:
            _LOG.warning("secrets in the configuration file: %s", error)
            return
        finally:
            self._left_in_file = False
        self._left_in_file = bool(adoption.left) and not self._is_open
        if adoption.moved:
            notice = f"Moved from the configuration file to the credential store: {', '.join(adoption.moved)}"
            self._app.notify(safe(notice), markup=False, timeout=20)
        if adoption.left and not notified_before:
            why = f" ({adoption.problem.message})" if adoption.problem else ""
            notice = f"The configuration file holds secrets in plain text: {', '.join(adoption.left)}{why}"
            self._app.notify(safe(notice), markup=False, severity="warning", timeout=60)

    def _notify_screens(self) -> None:
        self.version += 1
        for screen in self._app.screen_stack:
            screen.post_message(InstancesChanged())

    def _follow(self) -> None:
        """Pass snapshots to the app's thread, no faster than the terminal accepts them. Runs in a thread of its own."""
        while not self._stop.is_set():
            try:
                self.core.queue.follow(self._deliver_soon, stop=self._stopped, interval_s=self.interval_s)
            except ProviderError as error:
                self._soon(self._queue_failed, ErrorInfo.of(error))
            except Exception:
                _LOG.exception("following the queue failed; trying again")
            self._stop.wait(1.0)

    def _stopped(self) -> bool:
        """Called by the follower in each round; also notices when a service has answered something new."""
        version = self.core.instances.answers_version()
        if version != self._answers_version:
            known, self._answers_version = self._answers_version, version
            if known is not None and not self._stop.is_set():
                self._soon(self._answered, version)
        return self._stop.is_set()

    def _answered(self, version: int) -> None:
        self.instances_changed()

    def _deliver_soon(self, snapshot: QueueSnapshot) -> None:
        while self._terminal_backlog() > _MAX_BACKLOG_WRITES and not self._stop.wait(self.interval_s):
            continue
        self._soon(self._deliver, snapshot)

    def _soon(self, act: Callable[[T], None], what: T) -> None:
        if self._loop is not None and not self._stop.is_set():
            with contextlib.suppress(RuntimeError):  # the loop is closed by now
                self._loop.call_soon_threadsafe(act, what)

    def _queue_failed(self, problem: ErrorInfo) -> None:
        if problem != self.queue_problem:
            _LOG.error("the queue cannot be read: %s", problem.message)
            self.queue_problem = problem
            self._notify_of_queue()

    def _notify_of_queue(self) -> None:
        if not self._stop.is_set():
            for screen in self._app.screen_stack:
                screen.post_message(QueueChanged(self.snapshot))

    def _deliver(self, snapshot: QueueSnapshot) -> None:
        self.snapshot = snapshot
        self.queue_problem = None
        if snapshot.notice and snapshot.notice != self._noticed:
            self._app.notify(safe(snapshot.notice), markup=False, severity="warning", timeout=3600)
        self._noticed = snapshot.notice
        self._help_worker(snapshot)
        self._notify_of_queue()

    def _help_worker(self, snapshot: QueueSnapshot) -> None:
        """Send the key of the open store to a worker that another process started without it."""
        if self._is_open and self._helping is None and any(_waits_for_key(item) for item in snapshot.items):
            self._helping = asyncio.get_running_loop().create_task(self._hand_key_over())

    async def _hand_key_over(self) -> None:
        try:
            await self.call(self.core.queue.ensure_worker)
        except ProviderError as error:
            _LOG.warning("the key did not reach the worker: %s", error)
        await asyncio.sleep(_HELP_EVERY_S)
        self._helping = None

    def _terminal_backlog(self) -> int:
        """The number of frames that Textual's writer thread still holds; 0 if the driver has no such thread (tests)."""
        writer = getattr(self._app._driver, "_writer_thread", None)
        return writer._queue.qsize() if writer is not None else 0
