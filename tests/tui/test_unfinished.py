"""Unfinished uploads, opened from Providers: listed with age and size, removed on request."""

from __future__ import annotations

from typing import Any

import pytest

from backup.model.instances import InstanceState
from backup.model.unfinished import Unfinished
from providers.contract.upload import PendingUpload
from providers.errors import PermissionDenied, Unsupported
from screens.modals.confirm import ConfirmScreen
from screens.modals.unfinished import UnfinishedScreen
from tests.tui.scripted import ScriptedCore, ScriptedQuestions, calls_of
from tests.tui.standin import console, instance, screen_text, until
from tui.app import BackupConsole

EVIL = "\x1b[2J[/]\u202e\n\udce9" + "x" * 300
DAY_S = 86_400.0


def left(
    key: str, age_s: float | None = 60.0, size_bytes: int | None = 2**20, needed_by: int | None = None
) -> Unfinished:
    upload = PendingUpload(key=key, token={"upload_id": key}, started_at=1.0, size_bytes=size_bytes)
    return Unfinished(upload=upload, age_s=age_s, needed_by=needed_by)


@pytest.fixture
def questions() -> ScriptedQuestions:
    questions = ScriptedQuestions()
    questions.left = [left(EVIL, 9 * DAY_S), left("ours", 3600.0, needed_by=17), left("b", None, None), left("c", 30.0)]
    return questions


def plain(app: BackupConsole) -> str:
    return " ".join(screen_text(app).replace("│", " ").split())


async def sees(pilot: Any, *words: str) -> None:
    await until(pilot, lambda: all(word in plain(pilot.app) for word in words))


async def opened(pilot: Any) -> None:
    await pilot.press("1")
    await sees(pilot, "AWS S3", "f unfinished")
    await pilot.press("down", "f")
    await until(pilot, lambda: isinstance(pilot.app.screen, UnfinishedScreen))


@pytest.mark.few(1)
@pytest.mark.parametrize("size", [(80, 24), (140, 42)])
async def test_unfinished_uploads_are_listed_with_age_size_and_owner(
    questions: ScriptedQuestions, size: tuple[int, int]
) -> None:
    app = console(ScriptedCore(), questions)
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        await sees(pilot, "Unfinished uploads at aws_s3", "9 d", "1.00 MiB", "17", "0:30")
        await sees(pilot, "4 unfinished uploads · 3.00 MiB")
        assert r"\x1b[2J[/]\u202e" in screen_text(app)
        assert all(character.isprintable() for character in screen_text(app).replace("\n", ""))
        for key in ("del remove", "space select", "r refresh", "esc close"):
            assert key in plain(app)


async def test_one_is_removed_after_a_question_that_starts_with_no(questions: ScriptedQuestions) -> None:
    app = console(ScriptedCore(), questions)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await sees(pilot, "4 unfinished uploads")
        await pilot.press("delete")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await sees(pilot, "1 unfinished upload · 1.00 MiB", "9 d ago", "still uploading one must start again")
        assert all(character.isprintable() for character in screen_text(app).replace("\n", ""))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, UnfinishedScreen))
        assert calls_of(questions, "remove_unfinished") == []
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("y")
        await sees(pilot, "3 unfinished uploads")
        assert calls_of(questions, "remove_unfinished") == [("remove_unfinished", "aws_s3", EVIL)]


async def test_an_upload_that_one_of_our_transfers_will_resume_is_kept(questions: ScriptedQuestions) -> None:
    app = console(ScriptedCore(), questions)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await sees(pilot, "4 unfinished uploads")
        await pilot.press("down", "delete")
        await sees(pilot, "transfer 17 will resume ours", "Cancel that transfer: the worker")
        assert isinstance(app.screen, UnfinishedScreen)
        await pilot.press("space", "space", "space", "delete")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await sees(
            pilot, "2 unfinished uploads", "b, c", "the service does not report when", "1 that transfers of this"
        )
        await pilot.press("y")
        await sees(pilot, "2 unfinished uploads · 2.00 MiB")
        assert [call[2] for call in calls_of(questions, "remove_unfinished")] == ["b", "c"]


async def test_an_upload_that_cannot_be_removed_shows_the_reason(questions: ScriptedQuestions) -> None:
    questions.kept = PermissionDenied(f"this key may not remove {EVIL}", hint="Give it the right.")
    app = console(ScriptedCore(), questions)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await sees(pilot, "4 unfinished uploads")
        await pilot.press("delete")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("y")
        await sees(pilot, "Not allowed", "this key may not remove", "Give it the right.")
        assert all(character.isprintable() for character in screen_text(app).replace("\n", ""))


async def test_a_service_that_cannot_list_unfinished_uploads_says_so_and_an_empty_list_too(
    questions: ScriptedQuestions,
) -> None:
    questions.left = Unsupported("Dropbox lists no unfinished uploads: it removes them by itself after seven days")
    app = console(ScriptedCore(), questions)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await sees(pilot, "after seven days")
        questions.left = []
        await pilot.press("r")
        await sees(pilot, "No unfinished uploads.")
        await pilot.press("delete")
        await pilot.pause()
        assert isinstance(app.screen, UnfinishedScreen)
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)


async def test_an_instance_that_cannot_be_used_is_not_asked() -> None:
    core = ScriptedCore()
    core.known_instances = [instance("local", state=InstanceState.DISABLED, enabled=False)]
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("1")
        await sees(pilot, "local")
        await pilot.press("f")
        await pilot.pause()
        assert len(app.screen_stack) == 1
        assert "f unfinished" not in screen_text(app)


async def test_the_key_is_among_the_keys(questions: ScriptedQuestions) -> None:
    app = console(ScriptedCore(), questions)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("1")
        await sees(pilot, "f unfinished")
        await pilot.press("question_mark")
        await sees(pilot, "Keys", "f unfinished")
