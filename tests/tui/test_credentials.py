"""The screen of credentials, and its actions."""

from __future__ import annotations

import time
from typing import Any

import pytest
from textual.widgets import Input

from backup.model.credentials import CredentialFact, CredentialState, StoreState
from providers.contract.report import ErrorInfo, StepName
from tests.tui.scripted import ScriptedQuestions, calls_of, failed, passed
from tests.tui.scripted_store import KIT_CANARY, PASSPHRASE, StoreScript
from tests.tui.standin import console, screen_text, until
from tests.tui.test_store_dialogues import sees, typed
from tui.widgets.field_row import FieldRow

READY = StoreState.READY


async def open_credentials(pilot: Any) -> None:
    await sees(pilot, "services ready")
    await pilot.press("5", "c")
    await sees(pilot, "Where secrets are kept", "CREDENTIAL")


async def notified(pilot: Any, words: str) -> None:
    await until(pilot, lambda: any(words in note.message for note in pilot.app._notifications))


@pytest.mark.parametrize("size", [(80, 24), (140, 42)])
async def test_the_store_is_shown_with_what_it_protects_against(size: tuple[int, int]) -> None:
    core = StoreScript(vault=READY)
    now = time.time()
    core.known_credentials = [
        CredentialFact(
            key="aws_s3", instances=("aws_s3",), state=CredentialState.SET, fields=("password",), last_used_at=now - 180
        ),
        CredentialFact(key="shared", instances=("one", "two"), state=CredentialState.EXPIRING, expires_at=now + 9e4),
        CredentialFact(key="gone", instances=("backblaze",), state=CredentialState.MISSING),
        CredentialFact(key="revoked", instances=("revoked",), state=CredentialState.REFUSED, fields=("password",)),
        CredentialFact(key="evil\x1b[2J[/]", instances=(), state=CredentialState.EXPIRED, expires_at=now - 9e5),
    ]
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=size) as pilot:
        await open_credentials(pilot)
        await sees(pilot, "vault (an encrypted file", "/home/x/vault.json", "✔ ready")
        await sees(pilot, "✔ yes      survives a reboot", "▲ partly   works for scheduled jobs")
        await sees(pilot, "✔ yes      protects against stolen files", "· no       protects against root")
        await sees(pilot, "· no       protects against other processes of yours")
        await sees(pilot, "✔ aws_s3", "3 min ago", "▲ shared", "one, two", "expires", "✖ gone", "missing · r sets it")
        await sees(pilot, "✖ revoked", "refused by the serv", r"evil\x1b[2J[/]", "expired")
        await sees(pilot, "4 credentials · 1 missing")
        assert KIT_CANARY not in screen_text(app)
        await pilot.press("escape")
        await sees(pilot, "Bandwidth")


async def test_without_a_store_it_says_what_to_do() -> None:
    core = StoreScript()
    core.known_credentials = []
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_credentials(pilot)
        await sees(pilot, "no store yet", "s chooses a store", "has no session bus", "No credentials are stored")


async def test_the_title_bar_and_the_palette_open_credentials() -> None:
    app = console(StoreScript(vault=READY), ScriptedQuestions())
    async with app.run_test(size=(100, 30)) as pilot:
        await sees(pilot, "vault ready")
        await pilot.click("TitleBar", offset=(screen_text(app).splitlines()[0].index("vault ready"), 0))
        await sees(pilot, "Where secrets are kept")
        await pilot.press("1", "ctrl+p")
        await pilot.press(*"Credent")
        await sees(pilot, "The credential store and its credentials")
        await pilot.press("enter")
        await sees(pilot, "Where secrets are kept", "1 credential")
        assert len(app.screen_stack) == 2


async def test_replace_test_and_delete() -> None:
    core = StoreScript(vault=READY)
    denied = ErrorInfo("authentication", "no such key", "Check it.")
    questions = ScriptedQuestions(failed(StepName.AUTHENTICATE, denied), passed())
    app = console(core, questions)
    async with app.run_test(size=(100, 30)) as pilot:
        await open_credentials(pilot)
        await pilot.press("r")
        await sees(pilot, "Credentials of aws_s3")
        control = app.screen.query_one("#field-secret_key", FieldRow).control
        assert isinstance(control, Input)
        control.value = "another"
        control.focus()
        await pilot.press("enter")
        await until(pilot, lambda: calls_of(core, "credentials") == [("credentials", "aws_s3", None, True, [])])
        await notified(pilot, "aws_s3: replaced")
        await pilot.press("t")
        await sees(pilot, "✖ The key was not accepted", "→ Check it.")
        await pilot.press("escape", "t")
        await notified(pilot, "all five steps passed")
        assert calls_of(core, "record") == [("record", "aws_s3", False), ("record", "aws_s3", True)]
        await pilot.press("delete")
        await sees(pilot, "Delete aws_s3?", "this cannot be", "it at the service too")
        await pilot.press("enter")
        assert calls_of(core, "remove_credentials") == []
        await pilot.press("delete")
        await sees(pilot, "Delete aws_s3?")
        await pilot.press("y")
        await sees(pilot, "missing · r sets it")


async def test_actions_on_a_locked_store_ask_to_unlock_it() -> None:
    core = StoreScript(vault=READY)
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_credentials(pilot)
        await pilot.press("l")
        await sees(pilot, "vault locked", "▲ locked · u unlocks it", "u unlock")
        await pilot.press("r")
        await typed(pilot, PASSPHRASE, "enter")
        await sees(pilot, "Credentials of aws_s3")


async def test_changing_the_passphrase_says_what_it_does_not_protect() -> None:
    core = StoreScript(vault=READY)
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_credentials(pilot)
        await pilot.press("p")
        await sees(pilot, "still opens", "older copies of the file", "replace the keys at each service too")
        await typed(pilot, "old one", "enter")
        await until(pilot, lambda: app.focused is not None and app.focused.id == "passphrase")
        await typed(pilot, PASSPHRASE, "enter")
        await typed(pilot, PASSPHRASE, "enter")
        await notified(pilot, "opens with the new passphrase")
        assert core.typed == ["old one", PASSPHRASE]


async def test_the_recovery_kit_is_shown_after_a_warning_and_leaves_nothing_behind() -> None:
    core = StoreScript(vault=READY)
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_credentials(pilot)
        await pilot.press("k")
        await sees(pilot, "Show the recovery kit?", "can read, change and delete these", "nowhere")
        await pilot.press("enter")
        assert calls_of(core, "recovery_kit") == []
        await pilot.press("k")
        await sees(pilot, "Show the recovery kit?")
        await pilot.press("y")
        await sees(pilot, "RECOVERY KIT", KIT_CANARY)
        assert calls_of(core, "recovery_kit") == [("recovery_kit", 79, True)]
        shown = app.screen
        assert KIT_CANARY not in repr(vars(shown))
        assert app.deliver_screenshot() is None
        await pilot.press("pagedown", "pagedown", "pagedown", "pagedown")
        await sees(pilot, "the end")
        await pilot.press("escape")
        await sees(pilot, "Where secrets are kept")
        assert KIT_CANARY not in app.export_screenshot() + screen_text(app) + repr(vars(shown)) + app.clipboard
