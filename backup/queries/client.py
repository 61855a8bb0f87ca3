"""The asking side of `python -m backup.queries`, for an event loop. Imported through `backup.queries.answers`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from backup.credentials import unlocking
from backup.model.transfers import EVERYTHING, Conflicts, Selection, TransferPlan
from backup.model.unfinished import Needed, Unfinished
from backup.queries.authorizations import Begun, GrantOnWire
from backup.rpc import AsyncClient, ConnectionLost, TimedOut
from backup.system.paths import Paths
from backup.system.terminal import UTF8_OPTIONS
from providers.contract.authorization import Grant, Method
from providers.contract.objects import Page, RemoteFile
from providers.contract.report import CheckStep, ConnectionReport
from providers.contract.upload import PendingUpload
from providers.secret import Secret

T = TypeVar("T")

_LOG: Final = logging.getLogger(__name__)

_MARGIN_S: Final = 10.0
"""What starting the child may add to its own limits."""
LIMIT_S: Final = 60.0 + _MARGIN_S
PROBE_LIMIT_S: Final = 120.0 + _MARGIN_S
_TRIES: Final = 3
_PING_EVERY_S: Final = 3.0
_PING_LIMIT_S: Final = 5.0
_START_LIMIT_S: Final = 30.0


_POLLED: Final[Any] = GrantOnWire | None


class QuestionsClient:
    """The same questions, asked of a child process over its pipes, several at once by request id.

    The child starts with the first question and ends with `close()` or when this process ends. A child that died or
    hangs is replaced and reading questions are asked again. Each question has a time limit and can be cancelled as any
    coroutine.
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

    async def list_page(
        self, instance: str, prefix: str = "", *, delimiter: str = "/", token: str | None = None, limit: int = 1000
    ) -> Page:
        params = {"instance": instance, "prefix": prefix, "delimiter": delimiter, "token": token, "limit": limit}
        return await self._ask("list_page", params, Page)

    async def stat(self, instance: str, key: str) -> RemoteFile:
        return await self._ask("stat", {"instance": instance, "key": key}, RemoteFile)

    async def containers(self, instance: str) -> list[str]:
        return await self._ask("containers", {"instance": instance}, list[str])

    async def create_container(self, instance: str, name: str) -> None:
        await self._ask("create_container", {"instance": instance, "name": name}, None, again=False)

    async def probe(self, instance: str, on_step: Callable[[CheckStep], None] | None = None) -> ConnectionReport:
        return await self._ask("probe", {"instance": instance}, ConnectionReport, PROBE_LIMIT_S, on_step=on_step)

    async def probe_draft(
        self,
        service: str,
        values: Mapping[str, str],
        secrets: Mapping[str, Secret],
        on_step: Callable[[CheckStep], None] | None = None,
        *,
        instance: str = "",
    ) -> ConnectionReport:
        params = _draft(service, values, secrets, instance)
        return await self._ask("probe_draft", params, ConnectionReport, PROBE_LIMIT_S, on_step=on_step)

    async def draft_containers(
        self, service: str, values: Mapping[str, str], secrets: Mapping[str, Secret], *, instance: str = ""
    ) -> list[str]:
        found: list[str] = await self._ask("draft_containers", _draft(service, values, secrets, instance), list[str])
        return found

    async def create_draft_container(
        self, service: str, values: Mapping[str, str], secrets: Mapping[str, Secret], *, instance: str = ""
    ) -> None:
        await self._ask("create_draft_container", _draft(service, values, secrets, instance), None, again=False)

    async def authorize_methods(self, service: str) -> tuple[Method, ...]:
        found: tuple[Method, ...] = await self._ask("authorize_methods", {"service": service}, tuple[Method, ...])
        return found

    async def authorize_begin(
        self,
        service: str,
        values: Mapping[str, str],
        secrets: Mapping[str, Secret],
        method: str = "",
        *,
        instance: str = "",
    ) -> Begun:
        params = _draft(service, values, secrets, instance) | {"method": method}
        return await self._ask("authorize_begin", params, Begun, again=False)

    async def authorize_finish(self, flow: str, pasted: str) -> Grant:
        params = {"flow": flow, "pasted": pasted}
        return (await self._ask("authorize_finish", params, GrantOnWire, again=False)).grant()

    async def authorize_poll(self, flow: str) -> Grant | None:
        found: GrantOnWire | None = await self._ask("authorize_poll", {"flow": flow}, _POLLED, again=False)
        return None if found is None else found.grant()

    async def authorize_end(self, flow: str) -> None:
        await self._ask("authorize_end", {"flow": flow}, None, again=False)

    async def plan_upload(
        self,
        instance: str,
        paths: list[Path],
        to: str = "",
        *,
        conflicts: Conflicts = Conflicts.REPLACE,
        selection: Selection = EVERYTHING,
    ) -> TransferPlan:
        params = {
            "instance": instance,
            "paths": [_absolute(path) for path in paths],
            "to": to,
            "conflicts": conflicts.value,
            "selection": msgspec.to_builtins(selection),
        }
        return await self._ask("plan_upload", params, TransferPlan)

    async def plan_download(
        self,
        instance: str,
        keys: list[str],
        to: Path | str,
        *,
        conflicts: Conflicts = Conflicts.REPLACE,
        links: bool = False,
        owner: bool = False,
    ) -> TransferPlan:
        params = {
            "instance": instance,
            "keys": keys,
            "to": _absolute(to),
            "conflicts": conflicts.value,
            "links": links,
            "owner": owner,
        }
        return await self._ask("plan_download", params, TransferPlan)

    async def plan_delete(self, instance: str, keys: list[str]) -> TransferPlan:
        return await self._ask("plan_delete", {"instance": instance, "keys": keys}, TransferPlan)

    async def unfinished(self, instance: str, needed: list[Needed]) -> list[Unfinished]:
        """`backup.queries.unfinished.find`."""
        params = {"instance": instance, "needed": msgspec.to_builtins(needed)}
        found: list[Unfinished] = await self._ask("unfinished", params, list[Unfinished])
        return found

    async def remove_unfinished(self, instance: str, upload: PendingUpload, needed: list[Needed]) -> bool:
        """`backup.queries.unfinished.remove`."""
        params = {
            "instance": instance,
            "upload": msgspec.to_builtins(upload),
            "needed": msgspec.to_builtins(needed),
        }
        return await self._ask("remove_unfinished", params, bool)

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

    async def _ask(
        self,
        method: str,
        params: Mapping[str, Any],
        result_type: type[T] | None,
        limit_s: float = LIMIT_S,
        *,
        again: bool = True,
        on_step: Callable[[CheckStep], None] | None = None,
    ) -> T:
        told: list[CheckStep] = []

        def step(found: CheckStep) -> None:
            """Steps that were told before the child was replaced are not told twice."""
            if on_step and all(found.name is not earlier.name for earlier in told):
                told.append(found)
                on_step(found)

        self._under_way += 1
        try:
            tries = 0
            while True:
                tries += 1
                child = await self._living_child()
                try:
                    await self._hand_over(child)
                    result: T = await child.call(
                        method,
                        params,
                        timeout_s=limit_s,
                        result_type=result_type,
                        on_event=step if on_step else None,
                        event_type=CheckStep,
                    )
                    self._started = child
                    return result
                except ConnectionLost:
                    if self._closed or not again or tries == _TRIES:
                        raise
                    _LOG.warning("the queries process was lost during %s; asking a new one", method)
        finally:
            self._under_way -= 1

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


def _draft(service: str, values: Mapping[str, str], secrets: Mapping[str, Secret], instance: str) -> dict[str, Any]:
    """What a form holds, for the pipe to the child: the one place where its secrets are revealed."""
    return {
        "service": service,
        "values": dict(values),
        "secrets": {name: secret.reveal() for name, secret in secrets.items()},
        "instance": instance,
    }


def _absolute(path: Path | str) -> str:
    """The child has another working folder. A final '/' says that a folder is meant: it stays."""
    absolute = os.path.abspath(path)
    return os.path.join(absolute, "") if os.path.basename(os.fspath(path)) in {"", ".", ".."} else absolute


def _package_parent() -> Path:
    """`python -m` looks in the current folder first: never in one of the user's, where a `backup` may lie."""
    return Path(__file__).resolve().parents[2]
