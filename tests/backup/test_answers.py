"""An instance has the state of its service's last answer, whichever process asked."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from backup.cli.commands.list_providers import _row
from backup.core import credential_list
from backup.instances import answers, describing, editing
from backup.instances.answers import AnswerSource
from backup.journal.records import Ending, Outcome
from backup.model.credentials import CredentialState
from backup.model.instances import InstanceState
from backup.queries.answers import Questions
from backup.queries.questions import (
    CreateContainer,
    FindMisnamed,
    FindUnfinished,
    ListContainers,
    ListPage,
    PlanDelete,
    PlanDownload,
    PlanUpload,
    Stat,
)
from backup.system.paths import Paths
from providers import registry
from providers.contract.report import CheckStep, ConnectionReport, ErrorInfo, StepName, StepState
from providers.errors import Authentication, NotFound, PermissionDenied, ProviderError, RateLimited, Transient
from tests.backup.queue_support import Workbench, wait_until
from tests.cli.conftest import Cli, cli, s3_instance, write_aws_credentials, write_config
from tests.providers.s3_stub import Answer, error, stub
from tests.servers.s3_server import S3Server

__all__ = ["cli"]
REVOKED = ErrorInfo.of(Authentication("the key was revoked", hint="Make another."))


@pytest.fixture
def local(paths: Paths, tmp_path: Path) -> Paths:
    write_config(paths, local={"enabled": True, "container": str(tmp_path)})
    return paths


def state(paths: Paths) -> InstanceState:
    return describing.describe(paths, "local").state


def report(at: float, failed: StepName | None = None) -> ConnectionReport:
    steps, reached = [], True
    for name in StepName:
        if name is failed:
            reached = False
            steps.append(CheckStep(name=name, state=StepState.FAILED, error=REVOKED))
        else:
            steps.append(CheckStep(name=name, state=StepState.OK if reached else StepState.NOT_RUN))
    return ConnectionReport(steps=tuple(steps), checked_at=at)


def test_a_failed_check_ends_ready_and_a_passed_one_restores_it(local: Paths) -> None:
    assert state(local) is InstanceState.READY
    editing.record_check(local, "local", report(1.0, StepName.AUTHENTICATE))
    info = describing.describe(local, "local")
    assert (info.state, info.enabled, info.usable) == (InstanceState.FAILING, True, True)
    assert info.problem is not None
    assert info.problem.message == "the key was revoked"
    assert "failing" in _row(info)
    editing.record_check(local, "local", report(2.0))
    assert state(local) is InstanceState.READY


@pytest.mark.parametrize("listed", ["", "a/", None])
def test_a_refused_look_ends_ready_and_a_successful_one_restores_it(local: Paths, listed: str | None) -> None:
    before = answers.version(local)
    with pytest.raises(Authentication), answers.noted(local, "local", listed=listed):
        raise Authentication("the key was revoked")
    assert state(local) is InstanceState.FAILING
    assert answers.version(local) != before
    with answers.noted(local, "local", listed=listed):
        pass
    assert state(local) is InstanceState.READY


@pytest.mark.parametrize(
    ("error", "listed", "expected"),
    [
        (NotFound("no bucket"), "", InstanceState.FAILING),
        (NotFound("no bucket"), "folder/", InstanceState.FAILING),
        (PermissionDenied("not this bucket"), "", InstanceState.FAILING),
        (PermissionDenied("not this folder"), "folder/", InstanceState.READY),
        (NotFound("no such key"), None, InstanceState.READY),
        (PermissionDenied("not this key"), None, InstanceState.READY),
        (Transient("no line"), "", InstanceState.READY),
        (RateLimited("slowly"), "", InstanceState.READY),
    ],
)
def test_answers_about_a_single_name_change_nothing(
    local: Paths, error: ProviderError, listed: str | None, expected: InstanceState
) -> None:
    with pytest.raises(type(error)), answers.noted(local, "local", listed=listed):
        raise error
    assert state(local) is expected


def test_answers_to_transfers_count(local: Paths) -> None:
    refused = Outcome(item_id=1, ending=Ending.WAITING, error=REVOKED)
    answers.note_outcomes(local, "local", [Outcome(item_id=2, ending=Ending.DONE), refused])
    assert state(local) is InstanceState.FAILING
    answers.note_outcomes(local, "local", [Outcome(item_id=1, ending=Ending.DONE)])
    assert state(local) is InstanceState.READY


def test_a_successful_look_does_not_cancel_a_refused_write(local: Paths) -> None:
    editing.record_check(local, "local", report(1.0, StepName.WRITE_READ_DELETE))
    with answers.noted(local, "local"):
        pass
    assert state(local) is InstanceState.FAILING
    answers.note(local, "local", AnswerSource.TRANSFER)
    assert state(local) is InstanceState.READY


def test_an_answer_counts_only_for_the_settings_it_was_given_for(local: Paths, tmp_path: Path) -> None:
    answers.note(local, "local", AnswerSource.LOOK, REVOKED)
    assert state(local) is InstanceState.FAILING
    write_config(local, local={"enabled": True, "container": str(tmp_path / "another")})
    assert state(local) is InstanceState.READY


def test_the_same_answer_is_written_once_a_minute(local: Paths) -> None:
    answers.note(local, "local", AnswerSource.TRANSFER)
    written = answers.version(local)
    for _ in range(50):
        answers.note(local, "local", AnswerSource.TRANSFER)
    assert answers.version(local) == written


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"local": {"at": "x"}}', b"\xff"])
def test_an_unreadable_note_is_ignored(local: Paths, content: bytes) -> None:
    local.state_dir.mkdir(parents=True)
    (local.state_dir / "answers.json").write_bytes(content)
    assert state(local) is InstanceState.READY
    answers.note(local, "local", AnswerSource.LOOK, REVOKED)
    assert state(local) is InstanceState.FAILING


def test_a_refused_credential_has_no_check_mark(cli: Cli, paths: Paths) -> None:
    settings = {"type": "aws_s3", "enabled": True, "container": "b", "access_key": "AK", "region": "eu-central-1"}
    paths.config_dir.mkdir(parents=True)
    credentials = {"s3": {"username": "AK", "fields": ["password"], "revision": "1"}}
    tree = {"version": 1, "providers": {"s3": settings}, "credentials": credentials}
    paths.config_file.write_text(json.dumps(tree))
    (fact,) = credential_list.credentials(paths)
    assert fact.state is CredentialState.SET
    answers.note(paths, "s3", AnswerSource.LOOK, REVOKED)
    (fact,) = credential_list.credentials(paths)
    assert fact.state is CredentialState.REFUSED
    _, row = cli("credentials", "list").out.splitlines()
    assert row.split()[:2] == ["s3", "refused"]


def test_a_key_that_the_server_no_longer_accepts_shows_everywhere(cli: Cli, paths: Paths, moto_s3: S3Server) -> None:
    """A real listing by a command is refused, and `list-providers` and `status` report it."""
    write_config(paths, s3=s3_instance(moto_s3, "there-is-no-such-bucket"))
    write_aws_credentials()
    questions = Questions(paths)
    with pytest.raises(NotFound):
        questions.ask(ListPage("s3"))
    questions.close()
    listed = {each["name"]: each for each in cli("list-providers", "--json").json()["instances"]}
    assert listed["s3"]["state"] == "failing"
    assert listed["s3"]["problem"]["kind"] == "not_found"
    shown = {each["name"]: each for each in cli("status", "--json").json()["instances"]}
    assert shown["s3"]["state"] == "failing"


def _refuses(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
    return error(403, "InvalidAccessKeyId")


@pytest.fixture
def revoked(paths: Paths) -> Iterator[Paths]:
    """An instance whose service no longer knows its key."""
    with stub(_refuses) as server:
        address = {"endpoint_url": f"http://127.0.0.1:{server.port}", "region": "us-east-1", "container": "bucket"}
        write_config(paths, s3={"type": "aws_s3", "enabled": True, "max_retries": 0, **address})
        write_aws_credentials()
        yield paths


@pytest.mark.parametrize(
    "ask",
    [
        lambda it, path: it.ask(PlanUpload("s3", [path], "x/")),
        lambda it, path: it.ask(PlanDownload("s3", ["k/"], str(path.parent))),
        lambda it, path: it.ask(PlanDelete("s3", ["k/"], dry_run=True)),
        lambda it, path: it.ask(CreateContainer("s3", "bucket")),
        lambda it, path: it.ask(FindMisnamed("s3")),
        lambda it, path: it.ask(ListContainers("s3")),
        lambda it, path: it.ask(Stat("s3", "k")),
        lambda it, path: it.ask(FindUnfinished("s3", [])),
        lambda it, path: it.ask(ListPage("s3", "deep/in/")),
    ],
)
def test_after_any_refused_request_a_revoked_key_is_failing(
    revoked: Paths, tmp_path: Path, ask: Callable[[Questions, Path], object]
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"1")
    with contextlib.closing(Questions(revoked)) as questions, pytest.raises(Authentication):
        ask(questions, file)
    assert describing.describe(revoked, "s3").state is InstanceState.FAILING


def test_a_refused_scan_is_an_answer_too(revoked: Paths) -> None:
    bench = Workbench(revoked)
    try:
        bench.queue.queue_delete("s3", ["folder/"])
        wait_until(lambda: describing.describe(revoked, "s3").state is InstanceState.FAILING)
    finally:
        bench.close()


# A folder that existed at set-up


def unmounted(storage: Path) -> None:
    storage.rmdir()


def another_thing(storage: Path) -> None:
    storage.rmdir()
    storage.write_bytes(b"")


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    storage = tmp_path / "disk"
    storage.mkdir()
    return storage


@pytest.fixture
def disk(paths: Paths, storage: Path) -> Paths:
    write_config(paths, disk={"type": "local", "enabled": True, "container": str(storage)})
    return paths


def states(cli: Cli) -> set[str]:
    """The state of the disk as each verb reports it."""
    return {
        next(one["state"] for one in cli(verb, "--json").json()["instances"] if one["name"] == "disk")
        for verb in ("list-providers", "status")
    }


@pytest.mark.few(4)
@pytest.mark.parametrize("lose", [unmounted, another_thing])
@pytest.mark.parametrize(
    "ask",
    [
        lambda it, path: it.ask(PlanUpload("disk", [path], "x/")),
        lambda it, path: it.ask(PlanUpload("disk", [path], "")),
        lambda it, path: it.ask(PlanDownload("disk", ["k"], str(path.parent))),
        lambda it, path: it.ask(PlanDelete("disk", ["k/"])),
        lambda it, path: it.ask(Stat("disk", "k")),
        lambda it, path: it.ask(FindUnfinished("disk", [])),
        lambda it, path: it.ask(ListPage("disk")),
        lambda it, path: it.ask(ListPage("disk", "deep/in/")),
    ],
)
def test_a_local_folder_that_is_gone_is_failing_until_it_is_back(
    disk: Paths, storage: Path, cli: Cli, ask: Callable[[Questions, Path], object], lose: Callable[[Path], None]
) -> None:
    (disk.config_dir / "file").write_bytes(b"1")
    lose(storage)
    with contextlib.closing(Questions(disk)) as questions:
        with pytest.raises(NotFound):
            ask(questions, disk.config_dir / "file")
        assert states(cli) == {"failing"}
        storage.unlink(missing_ok=True)
        storage.mkdir()
        questions.ask(ListPage("disk"))
    assert states(cli) == {"ready"}


def test_a_missing_name_does_not_make_its_folder_fail(disk: Paths) -> None:
    with contextlib.closing(Questions(disk)) as questions, pytest.raises(NotFound):
        questions.ask(Stat("disk", "k"))
    assert describing.describe(disk, "disk").state is InstanceState.READY


def test_a_transfer_to_a_missing_folder_is_an_answer(disk: Paths, storage: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    bench = Workbench(disk)
    try:
        storage.rmdir()
        job = bench.queue.queue_upload("disk", [tmp_path / "file"])
        bench.finish(job)
        info = describing.describe(disk, "disk")
        assert info.state is InstanceState.FAILING
        assert info.problem is not None
        assert (info.problem.kind, str(storage) in info.problem.message) == ("not_found", True)
        with contextlib.closing(Questions(disk)) as questions:
            storage.mkdir()
            questions.ask(ListPage("disk"))
        assert describing.describe(disk, "disk").state is InstanceState.READY
    finally:
        bench.close()


def test_a_read_only_folder_is_failing_until_something_is_written(
    disk: Paths, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = ErrorInfo.of(PermissionDenied(f"{storage}/k: Read-only file system", code="EROFS"))
    failed = Outcome(item_id=1, ending=Ending.FAILED, error=refused)
    provider = registry.load("local")({"container": str(storage)})
    answers.note_outcomes(disk, "disk", [failed], provider.unusable)
    assert describing.describe(disk, "disk").state is InstanceState.READY  # it concerns only that name
    monkeypatch.setattr("providers.local.provider.os.access", lambda path, mode: not mode & os.W_OK)
    answers.note_outcomes(disk, "disk", [failed], provider.unusable)
    info = describing.describe(disk, "disk")
    assert info.state is InstanceState.FAILING
    assert info.problem is not None
    assert "may not write there" in info.problem.message
    with contextlib.closing(Questions(disk)) as questions:
        questions.ask(ListPage("disk"))  # reading from it proves nothing
    assert describing.describe(disk, "disk").state is InstanceState.FAILING
    answers.note_outcomes(disk, "disk", [Outcome(item_id=1, ending=Ending.DONE)], provider.unusable)
    assert describing.describe(disk, "disk").state is InstanceState.READY
    provider.close()


def test_the_embedded_folder_is_not_missing_before_its_creation(paths: Paths) -> None:
    with contextlib.closing(Questions(paths)) as questions, pytest.raises(NotFound):
        questions.ask(Stat("local", "k"))
    assert describing.describe(paths, "local").state is InstanceState.READY


def test_an_answer_crosses_processes_unchanged(local: Paths) -> None:
    answers.note(local, "local", AnswerSource.LOOK, REVOKED)
    assert answers.latest(local)["local"].error == REVOKED
    assert msgspec.json.decode((local.state_dir / "answers.json").read_bytes())["local"]["source"] == "look"
