"""Questions: answered here and in the child, in bounded time, cancelled at once, asked again when the child is lost."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from backup.config.file import edit
from backup.instances import opening
from backup.model.transfers import Conflicts, JobKind, Links, Selection
from backup.model.unfinished import Needed
from backup.queries import child, questions
from backup.queries.answers import ANSWERS, Questions
from backup.queries.client import QuestionsClient
from backup.queries.encoding import from_data, to_data
from backup.queries.questions import (
    AuthorizeBegin,
    AuthorizePoll,
    CreateContainer,
    DraftQuestion,
    FindUnfinished,
    ListContainers,
    ListPage,
    PlanDelete,
    PlanDownload,
    PlanUpload,
    Probe,
    ProbeDraft,
    RemoveUnfinished,
    ServiceQuestion,
    Stat,
)
from backup.queue.client import Queue
from backup.rpc import ConnectionLost
from backup.system import redaction
from backup.system.paths import Paths
from providers.contract.authorization import Grant
from providers.contract.cancel import CancelToken
from providers.contract.report import CheckStep, StepName, StepState
from providers.errors import Authentication, Cancelled, InvalidConfiguration, NotFound, Transient
from providers.local.folder import temporary_name
from providers.secret import MASK, Secret
from tests.processes import child_that_answers
from tests.providers.memory import MemoryProvider, MemoryStore

ROOT = Path(__file__).resolve().parents[2]


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.01)


@pytest.fixture
def storage(paths: Paths) -> Path:
    """The embedded local storage with a few objects."""
    folder = paths.local_storage
    for name, data in {"a.txt": b"alpha", "docs/b.txt": b"beta", "docs/deep/c.txt": b"gamma!"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def here(paths: Paths) -> Iterator[Questions]:
    asked = Questions(paths)
    yield asked
    asked.close()


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """Every instance is in memory, and `memory.opened` counts how often it was opened."""
    store = MemoryStore()
    store.calls.clear()

    def open_memory(paths: Paths, name: str, *, context: Any = None) -> MemoryProvider:
        store.called("open", name)
        return MemoryProvider(store, context=context, timeout=5, retry_delay=0)

    monkeypatch.setattr(opening, "open_provider", open_memory)
    return store


# In this process


def test_a_page_has_files_and_folders(here: Questions, storage: Path):
    page = here.ask(ListPage("local"))
    assert [file.key for file in page.files] == ["a.txt"]
    assert page.prefixes == ("docs/",)
    assert here.ask(ListPage("local", "docs/", delimiter="")).next_token is None
    assert here.ask(Stat("local", "docs/b.txt")).size_bytes == 4
    with pytest.raises(NotFound):
        here.ask(Stat("local", "nothing"))
    with pytest.raises(InvalidConfiguration):
        here.ask(ListPage("nowhere"))


def test_one_provider_serves_many_questions_until_the_configuration_changes(
    here: Questions, paths: Paths, memory: MemoryStore
):
    for _ in range(3):
        here.ask(ListPage("local"))
    assert memory.count("open") == 1
    with edit(paths) as draft:
        draft.set("local", "max_retries", 1)
    here.ask(ListPage("local"))
    assert memory.count("open") == 2


def test_questions_at_once_share_one_provider(here: Questions, memory: MemoryStore):
    threads = [threading.Thread(target=here.ask, args=(ListPage("local"),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert memory.count("scan") == 8
    assert memory.count("open") == 1


def test_a_page_is_retried_as_the_settings_say(here: Questions, memory: MemoryStore):
    def fail_twice(call: str, _: object) -> None:
        if call == "scan" and memory.count("scan") < 3:
            raise Transient("reset")

    memory.trouble = fail_twice
    assert here.ask(ListPage("local")).files == ()
    assert memory.count("scan") == 3


class Stall:
    """Stalls every scan until `over` is set."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.over = threading.Event()

    def __call__(self, call: str, _: object) -> None:
        if call == "scan":
            self.begun.set()
            self.over.wait(30)


@pytest.fixture
def stall(memory: MemoryStore) -> Iterator[Stall]:
    memory.trouble = stalled = Stall()
    yield stalled
    stalled.over.set()


def test_a_stalled_question_ends_in_time(here: Questions, stall: Stall, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ListPage, "limit_s", 0.2)
    with pytest.raises(Transient, match="no answer within"):
        here.ask(ListPage("local"))


def test_a_stalled_question_is_cancelled_at_once(here: Questions, stall: Stall):
    cancel = CancelToken()

    def cancel_once_it_stalls() -> None:
        stall.begun.wait(10)
        cancel.cancel()

    threading.Thread(target=cancel_once_it_stalls).start()
    started_s = time.monotonic()
    with pytest.raises(Cancelled):
        here.ask(ListPage("local"), cancel=cancel)
    assert time.monotonic() - started_s < 2


def test_a_check_that_hangs_is_a_failed_step(here: Questions, stall: Stall, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Probe, "limit_s", 0.5)
    steps: list[CheckStep] = []
    report = here.ask(Probe("local"), steps.append)
    assert not report.ok
    assert [step.name for step in report.steps] == list(StepName)
    assert list(report.steps) == steps
    assert report.failure is not None
    assert report.failure.kind == "transient"
    assert report.steps[-1].state is StepState.NOT_RUN


def test_a_check_tells_its_steps(here: Questions, storage: Path):
    steps: list[StepName] = []
    report = here.ask(Probe("local"), lambda step: steps.append(step.name))
    assert report.ok
    assert steps == list(StepName)


def test_a_draft_is_checked_before_it_is_saved(here: Questions, paths: Paths, tmp_path: Path):
    folder = tmp_path / "disk"
    folder.mkdir()
    assert here.ask(ProbeDraft("local", {"container": str(folder)}, {})).ok
    report = here.ask(ProbeDraft("local", {"container": str(tmp_path / "gone")}, {}))
    assert report.failure is not None
    assert report.failure.kind == "not_found"
    assert not paths.config_file.exists()
    assert list(folder.iterdir()) == []


# Plans


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    (folder / "deep").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "b.txt").write_bytes(b"BETA")
    (folder / "deep" / "new.txt").write_bytes(b"123456")
    (folder / "link").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")
    return folder


def test_an_upload_is_counted_with_what_it_replaces(here: Questions, storage: Path, tree: Path):
    plan = here.ask(PlanUpload("local", [tree]))
    assert (plan.kind, plan.files, plan.size_bytes) == (JobKind.UPLOAD, 2, 10)
    assert plan.folders == 3
    assert (plan.skipped_symlinks, plan.skipped_special) == (1, 1)
    assert (plan.replaces, plan.replaced_names) == (1, ("docs/b.txt",))
    assert plan.complete
    assert here.ask(PlanUpload("local", [tree], "elsewhere/")).replaces == 0
    assert here.ask(PlanUpload("local", [tree / "b.txt"], "docs")).replaces == 1
    assert here.ask(PlanUpload("local", [tree / "b.txt"], "docs", conflicts=Conflicts.SKIP_UNCHANGED)).replaces <= 1
    with pytest.raises(NotFound):
        here.ask(PlanUpload("local", [tree / "gone"]))


def test_many_single_files_are_looked_up_in_one_listing(here: Questions, memory: MemoryStore, tmp_path: Path):
    files = [tmp_path / f"{number}.bin" for number in range(40)]
    for file in files:
        file.write_bytes(b"x")
    memory.objects = {"to/3.bin": b"old", "to/unrelated": b"", "3.bin": b""}
    plan = here.ask(PlanUpload("local", files, "to/"))
    assert plan.replaced_names == ("to/3.bin",)
    assert memory.count("scan") == 1


def test_counting_stops_at_its_limit(here: Questions, memory: MemoryStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("backup.queries.budget.LIMIT_ENTRIES", 5)
    memory.objects = {f"x/{number}": b"1" for number in range(9)}
    plan = here.ask(PlanDelete("local", ["x/"]))
    assert (plan.files, plan.complete) == (5, False)


def test_a_download_is_counted_with_what_it_replaces(here: Questions, storage: Path, tmp_path: Path):
    to = tmp_path / "to"
    (to / "docs").mkdir(parents=True)
    (to / "docs" / "b.txt").write_bytes(b"mine")
    plan = here.ask(PlanDownload("local", ["docs/"], str(to)))
    assert (plan.files, plan.size_bytes, plan.replaces) == (2, 10, 1)
    assert here.ask(PlanDownload("local", ["docs/b.txt"], str(to / "docs" / "b.txt"))).replaces == 1
    assert here.ask(PlanDownload("local", ["docs/b.txt"], str(to / "docs"))).replaces == 1
    assert here.ask(PlanDownload("local", ["a.txt"], str(to))).replaces == 0
    with pytest.raises(NotFound):
        here.ask(PlanDownload("local", ["nothing.txt"], str(to)))


def test_a_delete_is_counted(here: Questions, storage: Path):
    plan = here.ask(PlanDelete("local", ["docs/", "a.txt"]))
    assert (plan.kind, plan.files, plan.size_bytes) == (JobKind.DELETE, 3, 15)
    with pytest.raises(NotFound):
        here.ask(PlanDelete("local", ["nothing/"]))


# Through the child


def closing(client: QuestionsClient, test: Callable[[QuestionsClient], None]) -> None:
    with contextlib.closing(client):
        test(client)


def test_the_child_answers_as_the_process_itself_would(paths: Paths, storage: Path, here: Questions, tree: Path):
    def ask(client: QuestionsClient) -> None:
        assert child_that_answers() is None
        with ThreadPoolExecutor(4) as threads:
            pages = list(threads.map(client.ask, [ListPage("local", "docs/")] * 4))
        assert all(page == here.ask(ListPage("local", "docs/")) for page in pages)
        assert client.ask(Stat("local", "a.txt")) == here.ask(Stat("local", "a.txt"))
        selection = Selection(links=Links.STORE, exclude=("deep/",))
        to = storage.parent / "back"
        how: dict[str, Any] = {"conflicts": Conflicts.SKIP_UNCHANGED, "links": True, "owner": True}
        counted = (
            client.ask(PlanUpload("local", [tree])),
            client.ask(PlanUpload("local", [tree], conflicts=Conflicts.SKIP_UNCHANGED, selection=selection)),
            client.ask(PlanDownload("local", ["docs/"], str(to), **how)),
            client.ask(PlanDelete("local", ["docs/"])),
        )
        counted_here = (
            here.ask(PlanUpload("local", [tree])),
            here.ask(PlanUpload("local", [tree], conflicts=Conflicts.SKIP_UNCHANGED, selection=selection)),
            here.ask(PlanDownload("local", ["docs/"], str(to), **how)),
            here.ask(PlanDelete("local", ["docs/"])),
        )
        assert (counted[1].links, counted[1].ruled_out, counted[2].restores_owner) == (1, 1, True)
        assert all(plan.found for plan in (*counted, *counted_here))  # each has kept its own
        plain = {"found": "", "free_bytes": None}
        assert [replace(plan, **plain) for plan in counted] == [replace(plan, **plain) for plan in counted_here]
        left = storage / temporary_name("docs", 1.0, "", 0)
        left.write_bytes(b"123")
        (found,) = client.ask(FindUnfinished("local", []))
        assert (found, found.upload.size_bytes) == (here.ask(FindUnfinished("local", []))[0], 3)
        ours = Needed(item=7, instance="local", key="docs", token=found.upload.token)
        assert [one.needed_by for one in client.ask(FindUnfinished("local", [ours]))] == [7]
        assert not client.ask(RemoveUnfinished("local", found.upload, [ours]))
        assert left.exists()
        assert client.ask(RemoveUnfinished("local", found.upload, []))
        assert not left.exists()
        steps: list[CheckStep] = []
        report = client.ask(Probe("local"), steps.append)
        assert report.ok
        assert tuple(steps) == report.steps
        with pytest.raises(NotFound) as caught:
            client.ask(Stat("local", "nothing"))
        assert caught.value.hint

    closing(QuestionsClient(paths), ask)


def test_every_question_has_one_answer_and_a_name_of_its_own():
    declared = [
        kind for kind in vars(questions).values() if isinstance(kind, type) and issubclass(kind, ServiceQuestion)
    ]
    declared = [kind for kind in declared if kind not in {ServiceQuestion, DraftQuestion}]
    assert len(declared) == 19
    assert set(declared) == set(ANSWERS)
    assert len({kind.method() for kind in declared}) == len(declared)


def test_questions_and_grants_come_over_the_pipe_as_they_were():
    draft = AuthorizeBegin("dropbox", {"prefix": "a/"}, {"refresh_token": Secret("canary-7d")}, "mine", "code")
    upload = PlanUpload("local", [Path("/srv/caf\udce9")], "x/", selection=Selection(exclude=("deep/",)))
    grant = Grant(secrets={"refresh_token": Secret("canary-7d")}, account="ada")
    for value, kind in ((draft, AuthorizeBegin), (upload, PlanUpload), (grant, AuthorizePoll.answer_type())):
        assert from_data(to_data(value), kind) == value
    assert from_data(to_data(None), AuthorizePoll.answer_type()) is None
    assert redaction.redact("canary-7d") == MASK
    with pytest.raises(ConnectionLost):
        from_data({"instance": 7}, PlanUpload)


def test_secrets_of_a_draft_travel_over_the_pipe_alone(paths: Paths):
    canary = "canary-5f1e3b"

    def ask(client: QuestionsClient) -> None:
        values = {"container": "b", "endpoint_url": "http://127.0.0.1:9", "access_key": "AKIA"}
        report = client.ask(ProbeDraft("aws_s3", values, {"secret_key": Secret(canary)}))
        assert not report.ok
        assert canary not in repr(report)
        process = Path(f"/proc/{child_that_answers()}")
        assert canary.encode() not in (process / "cmdline").read_bytes()
        assert canary.encode() not in (process / "environ").read_bytes()

    closing(QuestionsClient(paths), ask)
    for log in paths.logs_dir.glob("*"):
        assert canary not in log.read_text()
    with contextlib.closing(Queue(paths)) as queue:
        assert sum(queue.calls("aws_s3").values()) > 0  # what the child asked a service is counted too


def test_a_killed_child_is_replaced_and_asked_again(paths: Paths, storage: Path):
    def ask(client: QuestionsClient) -> None:
        client.ask(ListPage("local"))
        first = child_that_answers()
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        with ThreadPoolExecutor(1) as threads:
            asked = threads.submit(client.ask, ListPage("local"))
            os.kill(first, signal.SIGKILL)
            assert asked.result(30).prefixes == ("docs/",)
        assert child_that_answers() not in {None, first}

    closing(QuestionsClient(paths), ask)


def test_the_child_lives_on_when_the_thread_that_asked_first_has_ended(paths: Paths, storage: Path):
    def ask(client: QuestionsClient) -> None:
        thread = threading.Thread(target=client.ask, args=(ListPage("local"),))
        thread.start()
        thread.join(30)
        first = child_that_answers()
        assert first is not None
        assert client.ask(ListPage("local")).prefixes == ("docs/",)
        assert child_that_answers() == first

    closing(QuestionsClient(paths), ask)


def test_a_child_that_cannot_be_started_is_a_lost_connection(paths: Paths):
    def ask(client: QuestionsClient) -> None:
        with pytest.raises(ConnectionLost):
            client.ask(ListPage("local"))

    closing(QuestionsClient(paths, argv=("/nowhere/at/all",)), ask)


def test_a_hung_child_is_replaced_and_asked_again(paths: Paths, storage: Path):
    def ask(client: QuestionsClient) -> None:
        client.ask(ListPage("local"))
        first = child_that_answers()
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        assert (client.ask(ListPage("local"))).prefixes == ("docs/",)
        assert child_that_answers() != first

    closing(QuestionsClient(paths, ping_every_s=0.1, ping_limit_s=1.0), ask)


def test_the_child_ends_with_the_client(paths: Paths, storage: Path):
    pids: list[int] = []

    def ask(client: QuestionsClient) -> None:
        client.ask(ListPage("local"))
        child = child_that_answers()
        assert child is not None
        pids.append(child)

    closing(QuestionsClient(paths), ask)
    assert not Path(f"/proc/{pids[0]}").exists()


def test_a_closed_client_starts_no_child(paths: Paths):
    client = QuestionsClient(paths)
    client.close()
    with pytest.raises(ConnectionLost):
        client.ask(ListPage("local"))
    assert child_that_answers() is None


def test_the_child_dies_with_its_parent(paths: Paths, storage: Path):
    """Killed, the parent closes nothing. Another process holds the child's stdin open, so that it sees no end of it."""
    script = textwrap.dedent(
        """
        import subprocess, time
        from backup.system.paths import Paths
        from backup.queries.client import QuestionsClient
        from backup.queries.questions import ListPage

        client = QuestionsClient(Paths.default())
        client.ask(ListPage("local"))
        holder = subprocess.Popen(["sleep", "60"], pass_fds=[client._child.client._writer.fileno()])
        print(holder.pid, flush=True)
        time.sleep(60)
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert parent.stdout is not None
    holder = int(parent.stdout.readline())
    try:
        child = child_that_answers(parent.pid)
        assert child is not None
        parent.kill()
        parent.wait(10)
        wait_until(lambda: gone(child), "the child is gone")
        assert not gone(holder)
    finally:
        os.kill(holder, signal.SIGKILL)
        parent.stdout.close()


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


ECHO_CHILD = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from backup.rpc import Server
    from providers.errors import Authentication

    marker = Path(sys.argv[1])

    def stat(call):
        marker.write_text("asked")
        with call.cancel.calling(lambda: marker.write_text("cancelled")):
            call.cancel.wait(30)

    def create(call):
        with marker.open("a") as file:
            file.write("x")
        import os
        os._exit(1)

    def containers(call):
        raise Authentication("the key was refused", code="InvalidAccessKeyId")

    handlers = {"stat": stat, "create_container": create, "list_containers": containers, "ping": lambda call: "pong"}
    Server(handlers).serve(sys.stdin.buffer, sys.stdout.buffer)
    """
)


@pytest.fixture
def scripted(paths: Paths, tmp_path: Path) -> tuple[QuestionsClient, Path]:
    marker = tmp_path / "marker"
    return QuestionsClient(paths, argv=(sys.executable, "-c", ECHO_CHILD, str(marker))), marker


def test_cancelling_cancels_the_question_in_the_child(scripted: tuple[QuestionsClient, Path]):
    client, marker = scripted

    def ask(client: QuestionsClient) -> None:
        cancel = CancelToken()
        with ThreadPoolExecutor(1) as threads:
            asked = threads.submit(client.ask, Stat("local", "x"), cancel=cancel)
            wait_until(marker.exists, "the question arrived")
            cancel.cancel()
            with pytest.raises(Cancelled):
                asked.result(10)
        wait_until(lambda: marker.read_text() == "cancelled", "it was cancelled")

    closing(client, ask)
    assert marker.read_text() == "cancelled"


def test_what_changes_something_is_not_asked_again(scripted: tuple[QuestionsClient, Path]):
    client, marker = scripted

    def ask(client: QuestionsClient) -> None:
        with pytest.raises(ConnectionLost):
            client.ask(CreateContainer("local", "new"))

    closing(client, ask)
    assert marker.read_text() == "x"


def test_an_error_keeps_its_class_and_code(scripted: tuple[QuestionsClient, Path]):
    client, _ = scripted

    def ask(client: QuestionsClient) -> None:
        with pytest.raises(Authentication) as caught:
            client.ask(ListContainers("local"))
        assert caught.value.code == "InvalidAccessKeyId"

    closing(client, ask)


def test_a_child_that_cannot_even_be_killed_does_not_hold_up_the_end(
    paths: Paths, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that waits for a disk which does not respond: the system ends it only once the disk does."""
    reaped, waits = threading.Event(), subprocess.Popen.wait
    monkeypatch.setattr(child, "_LEAVE_LIMIT_S", 0.2)

    def stuck(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        if timeout is not None:
            raise subprocess.TimeoutExpired(process.args, timeout)
        reaped.wait(60)
        return waits(process)

    monkeypatch.setattr(subprocess.Popen, "wait", stuck)
    client = QuestionsClient(paths)
    assert client.ask(ListPage("local")).files
    threads = [thread for thread in threading.enumerate() if thread.name == "queries-child"]
    began = time.monotonic()
    client.close()
    assert time.monotonic() - began < 10
    reaped.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
