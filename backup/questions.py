"""Questions that reach a storage service: what is there, is it reachable. They read; whatever changes something is queued.

`Questions` answers in the calling process (CLI, and inside the child). `QuestionsClient` asks the child `python -m backup.queries`,
so that no SDK is ever loaded in the UI process; its methods are coroutines with the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from backup.model import Conflicts, TransferPlan
from backup.paths import Paths
from providers.objects import Page, RemoteFile
from providers.report import CheckStep, ConnectionReport
from providers.secret import Secret



class Questions:
    def __init__(self, paths: Paths) -> None: ...

    def list_page(self, instance: str, prefix: str = "", *, delimiter: str = "/", token: str | None = None, limit: int = 1000) -> Page:
        """One page; errors as `providers.base.scan` raises them, retried as the instance's settings say."""
        raise NotImplementedError

    def stat(self, instance: str, key: str) -> RemoteFile:
        raise NotImplementedError

    def probe(self, instance: str, on_step: Callable[[CheckStep], None] | None = None) -> ConnectionReport:
        """Check a saved instance. Does not record the result: `Service.record_check` does."""
        raise NotImplementedError

    def probe_draft(
        self,
        service: str,
        values: Mapping[str, str],
        secrets: Mapping[str, Secret],
        on_step: Callable[[CheckStep], None] | None = None,
        *,
        instance: str = "",
    ) -> ConnectionReport:
        """Check what a form holds, before it is saved. Secrets that are left out are taken from the saved `instance`."""
        raise NotImplementedError

    def plan_upload(self, instance: str, paths: list[Path], to: str = "", *, conflicts: Conflicts = Conflicts.REPLACE) -> TransferPlan:
        """Count what an upload would send and replace. Stops counting after 5 s or 100,000 entries (`complete` False)."""
        raise NotImplementedError

    def plan_download(self, instance: str, keys: list[str], to: Path) -> TransferPlan:
        raise NotImplementedError

    def plan_delete(self, instance: str, keys: list[str]) -> TransferPlan:
        raise NotImplementedError

    def containers(self, instance: str) -> list[str]:
        raise NotImplementedError

    def create_container(self, instance: str, name: str) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Close the providers that were opened."""


class QuestionsClient:
    """The same questions, asked of a child process over its pipes, several at once by request id.

    The child starts with the first question and ends with `close()` or when this process ends. A child that died or hangs is
    replaced and reading questions are asked again. Each question has a time limit and can be cancelled as any coroutine.
    """

    def __init__(self, paths: Paths) -> None: ...

    async def list_page(self, instance: str, prefix: str = "", *, delimiter: str = "/", token: str | None = None, limit: int = 1000) -> Page:
        raise NotImplementedError

    async def stat(self, instance: str, key: str) -> RemoteFile:
        raise NotImplementedError

    async def probe(self, instance: str, on_step: Callable[[CheckStep], None] | None = None) -> ConnectionReport:
        raise NotImplementedError

    async def probe_draft(
        self,
        service: str,
        values: Mapping[str, str],
        secrets: Mapping[str, Secret],
        on_step: Callable[[CheckStep], None] | None = None,
        *,
        instance: str = "",
    ) -> ConnectionReport:
        raise NotImplementedError

    async def plan_upload(self, instance: str, paths: list[Path], to: str = "", *, conflicts: Conflicts = Conflicts.REPLACE) -> TransferPlan:
        raise NotImplementedError

    async def plan_download(self, instance: str, keys: list[str], to: Path) -> TransferPlan:
        raise NotImplementedError

    async def plan_delete(self, instance: str, keys: list[str]) -> TransferPlan:
        raise NotImplementedError

    async def containers(self, instance: str) -> list[str]:
        raise NotImplementedError

    async def create_container(self, instance: str, name: str) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError
