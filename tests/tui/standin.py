"""Scripted stand-ins for Core and QuestionsClient, in memory: tests set their contents and errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import msgspec
from textual.app import App

from backup.core.core import Core
from backup.instances.default import choose
from backup.instances.plain_secrets import Adoption
from backup.model.credentials import StoreChoice, StoreState, StoreStatus
from backup.model.instances import InstanceInfo, InstanceState, ServiceInfo
from backup.model.transfers import (
    EVERYTHING,
    Conflicts,
    ItemKind,
    ItemState,
    ItemView,
    JobKind,
    JobView,
    LocalEntry,
    QueueSnapshot,
    QueueTotals,
    Selection,
    TransferPlan,
)
from backup.model.unfinished import Unfinished
from backup.queries.client import QuestionsClient
from backup.queries.questions import (
    FindUnfinished,
    ListPage,
    OnStep,
    PlanDelete,
    PlanDownload,
    PlanUpload,
    RemoveUnfinished,
    ServiceQuestion,
)
from providers.contract.cancel import CancelToken
from providers.contract.capabilities import Deletion
from providers.contract.objects import Page, RemoteFile
from providers.contract.report import ErrorInfo
from providers.contract.upload import SavedUpload
from providers.errors import InvalidConfiguration, NotFound, ProviderError
from tui.app import BackupConsole


def instance(name: str, **changes: Any) -> InstanceInfo:
    facts: dict[str, Any] = {
        "name": name,
        "type": name,
        "title": name,
        "state": InstanceState.READY,
        "enabled": True,
        "settings": {},
        "container": "homeserver",
        "location": f"{name}:homeserver",
    }
    return InstanceInfo(**(facts | changes))


def item(number: int, state: ItemState = ItemState.QUEUED, **changes: Any) -> ItemView:
    facts: dict[str, Any] = {
        "id": number,
        "job_id": 1,
        "job_kind": JobKind.UPLOAD,
        "instance": "aws_s3",
        "kind": ItemKind.FILE,
        "state": state,
        "name": f"file-{number}.bin",
        "key": f"backups/file-{number}.bin",
        "local_path": f"/srv/file-{number}.bin",
        "size_bytes": 1000,
    }
    return ItemView(**(facts | changes))


def job(number: int = 1, **changes: Any) -> JobView:
    facts: dict[str, Any] = {
        "id": number,
        "kind": JobKind.UPLOAD,
        "instance": "aws_s3",
        "title": "file",
        "destination": "backups/",
        "created_at": 0.0,
        "scanning": False,
        "counts": {},
        "size_bytes": 0,
        "done_bytes": 0,
    }
    return JobView(**(facts | changes))


class _Part:
    """A namespace of the core. Its methods are methods of the stand-in under other names."""

    def __init__(self, whole: StandInCore, names: Mapping[str, str]) -> None:
        self._whole = whole
        self._names = names

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, self._names.get(name, name))


_OF_INSTANCES: Final = {"all": "all_instances", "save": "save_instance", "remove": "remove_instance"}
_OF_CREDENTIALS: Final = {
    "set": "set_credentials",
    "remove": "remove_credentials",
    "status": "store_status",
    "facts": "store_facts",
    "choices": "store_choices",
    "use": "use_store",
    "unlock": "unlock_store",
    "open": "open_store",
    "create": "create_store",
    "lock": "lock_store",
    "move": "move_credentials",
}


class StandInCore:
    """`folders` maps a local path to its entries, or to the error of listing it. `calls` records calls."""

    def __init__(self) -> None:
        self.queue = self
        self.instances = _Part(self, _OF_INSTANCES)
        self.credentials = _Part(self, _OF_CREDENTIALS)
        self.folders: dict[str, Sequence[LocalEntry] | ProviderError] = {}
        self.known_instances: list[InstanceInfo] = [instance("local"), instance("aws_s3")]
        self.store = StoreStatus(state=StoreState.READY, backend="Secret Service")
        self.default = ""
        """The setting default_provider."""
        self.adoption = Adoption()
        self.closed = False
        self.trouble: ErrorInfo | None = None
        self.items: list[ItemView] = []
        self.jobs: list[JobView] = []
        self.totals: QueueTotals | None = None
        self.days = 90
        """The setting history_days."""
        self.calls: list[tuple[Any, ...]] = []
        self.plan: TransferPlan | None = None
        """Of the last upload."""
        self.failure: ProviderError | None = None
        """The next queueing call raises it."""
        self._changed = threading.Event()

    def services(self) -> tuple[ServiceInfo, ...]:
        return tuple(ServiceInfo(name=name, title=name, summary="") for name in ("local", "aws_s3"))

    def all_instances(self) -> tuple[InstanceInfo, ...]:
        try:
            default = choose(self.known_instances, self.default, only_local=len(self.known_instances) == 1)
        except InvalidConfiguration:
            default = ""
        return tuple(msgspec.structs.replace(info, is_default=info.name == default) for info in self.known_instances)

    def store_status(self) -> StoreStatus:
        return self.store

    def ensure_worker(self) -> bool:
        self.calls.append(("ensure_worker",))
        return True

    def open_store(self) -> None:
        """No way is set up to open it."""

    def store_choices(self) -> tuple[StoreChoice, ...]:
        return ()

    def adopt_secrets(self) -> Adoption:
        return self.adoption

    def close(self) -> None:
        self.closed = True

    def status(self) -> dict[str, Any]:
        places = ("config_file", "state_dir", "logs_dir", "local_storage")
        return {"version": "0.1.0", "paths": {place: f"/srv/{place}" for place in places}}

    def list_local(self, folder: Path) -> tuple[LocalEntry, ...]:
        found = self.folders.get(str(folder), NotFound(f"no folder {folder}"))
        if isinstance(found, ProviderError):
            raise found
        return tuple(found)

    def _queue(self, *call: Any) -> JobView:
        self.calls.append(call)
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        return job(title=str(call[0]))

    def queue_upload(
        self,
        name: str,
        paths: Sequence[Path],
        to: str = "",
        *,
        conflicts: Conflicts = Conflicts.REPLACE,
        selection: Selection = EVERYTHING,
        plan: TransferPlan | None = None,
    ) -> JobView:
        self.plan = plan
        more = () if selection == EVERYTHING else (selection,)
        return self._queue("upload", name, [str(path) for path in paths], to, conflicts, *more)

    def queue_download(
        self,
        name: str,
        keys: Sequence[str],
        to: Path,
        *,
        conflicts: Conflicts = Conflicts.REPLACE,
        owner: bool = False,
        links: bool = False,
        plan: TransferPlan | None = None,
    ) -> JobView:
        self.plan = plan
        more = [word for word, wanted in (("links", links), ("owner", owner)) if wanted]
        return self._queue("download", name, list(keys), str(to), conflicts, *more)

    def queue_delete(self, name: str, keys: Sequence[str], *, plan: TransferPlan | None = None) -> JobView:
        return self._queue("delete", name, list(keys))

    def snapshot(self, *, offset: int = 0, limit: int = 200, job_id: int | None = None) -> QueueSnapshot:
        totals = self.totals or self._count()
        window = tuple(self.items[offset : offset + limit])
        return QueueSnapshot(totals=totals, jobs=tuple(self.jobs), items=window, item_count=len(self.items))

    def _count(self) -> QueueTotals:
        def number(state: ItemState) -> int:
            return sum(each.state is state for each in self.items)

        return QueueTotals(
            uploading=number(ItemState.RUNNING),
            queued=number(ItemState.QUEUED),
            waiting=number(ItemState.WAITING),
            paused=number(ItemState.PAUSED),
            failed=number(ItemState.FAILED),
            verified=number(ItemState.DONE),
            worker_alive=True,
        )

    def answers_version(self) -> int:
        return 0

    def follow(
        self, on_change: Callable[[QueueSnapshot], None], *, stop: Callable[[], bool], interval_s: float = 0.25
    ) -> None:
        while not stop():
            on_change(self.snapshot())
            while not self._changed.wait(0.02):
                if stop():
                    return
            self._changed.clear()

    def changed(self) -> None:
        """Report that the test has replaced items, jobs or totals."""
        self._changed.set()

    def _act(self, verb: str, item_ids: Iterable[int]) -> int:
        wanted = list(item_ids)
        self.calls.append((verb, wanted))
        return len(wanted)

    def pause(self, item_ids: Iterable[int], jobs: Iterable[int] = ()) -> int:
        return self._act("pause", item_ids)

    def resume(self, item_ids: Iterable[int], jobs: Iterable[int] = ()) -> int:
        return self._act("resume", item_ids)

    def cancel(self, item_ids: Iterable[int], jobs: Iterable[int] = ()) -> int:
        return self._act("cancel", item_ids)

    def retry(self, item_ids: Iterable[int], jobs: Iterable[int] = ()) -> int:
        return self._act("retry", item_ids)

    def item_ids(self, job_id: int) -> list[int]:
        return [each.id for each in self.items if each.job_id == job_id]

    def item(self, item_id: int) -> ItemView:
        return next(each for each in self.items if each.id == item_id)

    def begun_uploads(self) -> list[tuple[int, str, SavedUpload]]:
        return []

    def set_bandwidth(self, name: str, bytes_per_s: int | None) -> None:
        self.calls.append(("bandwidth", name, bytes_per_s))

    def history_days(self) -> int:
        return self.days

    def set_history_days(self, text: str) -> int:
        self.calls.append(("history", text))
        self.days = int(text or 90)
        return self.days


class StandInQuestions:
    """`objects` maps an instance to its keys and sizes, or to the error of listing it."""

    def __init__(self) -> None:
        self.objects: dict[str, Mapping[str, int] | ProviderError] = {"local": {}, "aws_s3": {}}
        self.plan: TransferPlan = TransferPlan(
            kind=JobKind.UPLOAD, instance="aws_s3", destination="homeserver/", files=1, folders=0, size_bytes=1000
        )
        self.plans: list[TransferPlan] = []
        """Plans of uploads and downloads, in turn; then always `plan`."""
        self.counted_with: list[tuple[Any, ...]] = []
        """The user's wishes in each question for a plan."""
        self.left: list[Unfinished] | ProviderError = []
        """Unfinished uploads at every instance."""
        self.kept: ProviderError | None = None
        """Removing one of them raises it."""
        self.calls: list[tuple[Any, ...]] = []
        self.deletion = Deletion(words="gone for good", for_good=True)
        self.gate: threading.Event | None = None
        """If there is one, listings wait until it is set."""
        self.unread = ""
        """The reason why each page is incomplete."""
        self.closed = False

    def ask(
        self, question: ServiceQuestion[Any], on_step: OnStep | None = None, *, cancel: CancelToken | None = None
    ) -> Any:
        """The result of the method named after the question."""
        answer: Any = getattr(self, question.method())
        return answer(question, on_step) if on_step else answer(question)

    def list_page(self, question: ListPage) -> Page:
        name, prefix, token, limit = question.instance, question.prefix, question.token, question.limit
        self.calls.append(("list", name, prefix, token))
        if self.gate is not None:
            self.gate.wait(10)
        held = self.objects[name]
        if isinstance(held, ProviderError):
            raise held
        folders: dict[str, None] = {}
        files: list[str] = []
        for key in sorted(held):
            if key.startswith(prefix):
                cut = key.find("/", len(prefix))
                if cut >= 0:
                    folders[key[: cut + 1]] = None
                else:
                    files.append(key)
        names = [*folders, *files]
        start = int(token or 0)
        window = names[start : start + limit]
        return Page(
            files=tuple(RemoteFile(key=key, size_bytes=held[key], modified_at=1.7e9) for key in window if key in held),
            prefixes=tuple(key for key in window if key not in held),
            next_token=str(start + limit) if start + limit < len(names) else None,
            unread=self.unread,
        )

    def plan_upload(self, question: PlanUpload) -> TransferPlan:
        self.calls.append(("plan_upload", question.instance, [str(path) for path in question.paths], question.to))
        plan = self._counted_with(question.conflicts, question.selection)
        return msgspec.structs.replace(plan, kind=JobKind.UPLOAD, instance=question.instance)

    def plan_download(self, question: PlanDownload) -> TransferPlan:
        self.calls.append(("plan_download", question.instance, question.keys, question.to))
        options = (("links", question.links), ("owner", question.owner))
        plan = self._counted_with(question.conflicts, *(word for word, wanted in options if wanted))
        return msgspec.structs.replace(plan, kind=JobKind.DOWNLOAD, instance=question.instance, destination=question.to)

    def _counted_with(self, *answers: Any) -> TransferPlan:
        self.counted_with.append(tuple(answer for answer in answers if answer != EVERYTHING))
        number = len(self.counted_with) - 1
        return self.plans[number] if number < len(self.plans) else self.plan

    def plan_delete(self, question: PlanDelete) -> TransferPlan:
        self.calls.append(("plan_delete", question.instance, question.keys))
        return msgspec.structs.replace(
            self.plan, kind=JobKind.DELETE, instance=question.instance, deletion=self.deletion
        )

    def find_unfinished(self, question: FindUnfinished) -> list[Unfinished]:
        self.calls.append(("unfinished", question.instance))
        if isinstance(self.left, ProviderError):
            raise self.left
        return list(self.left)

    def remove_unfinished(self, question: RemoveUnfinished) -> bool:
        self.calls.append(("remove_unfinished", question.instance, question.upload.key))
        if self.kept is not None:
            raise self.kept
        assert not isinstance(self.left, ProviderError)
        self.left = [one for one in self.left if one.upload != question.upload]
        return True

    def close(self) -> None:
        self.closed = True


def console(core: StandInCore | None = None, questions: StandInQuestions | None = None) -> BackupConsole:
    """The real app over the stand-ins."""
    return BackupConsole(
        cast(Core, core or StandInCore()),
        cast(QuestionsClient, questions or StandInQuestions()),
        interval_s=0.02,
    )


async def until(pilot: Any, condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
    """Let the app run until `condition` is true. AssertionError after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s:\n{screen_text(pilot.app)}"
        await pilot.pause(0.01)


def screen_text(app: App[Any]) -> str:
    """The text on the screen now, line by line."""
    screen = app.screen
    lines = screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in line).rstrip() for line in lines)
