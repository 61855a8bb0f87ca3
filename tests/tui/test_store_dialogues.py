"""Dialogues that open, create, choose and move credential stores."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from backup.credentials.secret_service.collection import Dismissed, NotOffered
from backup.instances.plain_secrets import Adoption
from backup.model.credentials import MoveProgress, MoveStep, StoreBackend, StoreState
from backup.model.transfers import ItemState
from backup.queries.questions import ListPage
from providers.contract.objects import Page
from providers.contract.report import ErrorInfo
from providers.errors import ProviderError
from tests.tui.scripted import ScriptedQuestions, calls_of
from tests.tui.scripted_store import PASSPHRASE, StoreScript
from tests.tui.standin import StandInQuestions, console, instance, item, screen_text, until
from tui.app import BackupConsole
from tui.widgets.new_passphrase import guessing_time
from tui.widgets.secret_input import SecretInput

READY, LOCKED, NONE, GONE = StoreState.READY, StoreState.LOCKED, StoreState.NO_COLLECTION, StoreState.UNAVAILABLE
SIZES = [(80, 24), (140, 42)]


async def sees(pilot: Any, *words: str) -> None:
    await until(pilot, lambda: all(word in screen_text(pilot.app) for word in words), timeout_s=10)


def focused_secret(app: BackupConsole) -> bool:
    return isinstance(app.focused, SecretInput)


async def typed(pilot: Any, text: str, *keys: str) -> None:
    """Fill in a field as typing does, at once."""
    await until(pilot, lambda: focused_secret(pilot.app))
    pilot.app.focused.value = text
    await pilot.press(*keys)


# At the start


@pytest.mark.parametrize("size", SIZES)
async def test_the_user_is_asked_once_to_open_a_locked_store_that_is_needed(size: tuple[int, int]) -> None:
    core = StoreScript(vault=LOCKED)
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=size) as pilot:
        await sees(pilot, "Unlock the vault", "/home/x/vault.json", "until you quit the console")
        assert calls_of(core, "open_store") == [("open_store",)]
        await typed(pilot, "wrong", "enter")
        await sees(pilot, "✖ Wrong passphrase for the vault", "→ Type it again")
        assert focused_secret(app)
        await typed(pilot, PASSPHRASE, "enter")
        await sees(pilot, "vault ready")
        assert len(app.screen_stack) == 1
        assert core.typed == ["wrong", PASSPHRASE]


async def test_later_leaves_the_store_locked_and_u_asks_again() -> None:
    core = StoreScript(vault=LOCKED)
    core.items = [item(1, ItemState.WAITING, error=ErrorInfo("vault_locked", "the vault is locked", "", "locked"))]
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, "Unlock the vault")
        await pilot.press("escape")
        await sees(pilot, "vault locked", "◷ 1 waiting, the vault is locked", "U unlock")
        app.bridge.instances_changed()
        await pilot.press("3")
        await sees(pilot, "waiting: store locked · u unlocks", "u unlock")
        assert len(app.screen_stack) == 1
        await pilot.press("1", "down")
        await sees(pilot, "credentials  ▲ the vault is locked · u opens it", "1 waiting, the vault is locked")
        await pilot.press("u")
        await typed(pilot, PASSPHRASE, "enter")
        await sees(pilot, "vault ready")
        await sees(pilot, "credentials  in the credential store")
        assert "u unlock " not in screen_text(app)


async def test_unattended_ways_to_open_the_store_are_tried_first() -> None:
    core = StoreScript(vault=LOCKED)

    def opened() -> None:
        core.states[StoreBackend.VAULT] = READY

    core.open_store = opened  # type: ignore[method-assign]
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, "vault ready")
        assert len(app.screen_stack) == 1


async def test_the_user_is_not_asked_if_no_credentials_are_stored() -> None:
    core = StoreScript(vault=LOCKED)
    core.known_instances = [instance("local")]
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, "vault locked")
        assert len(app.screen_stack) == 1
        assert calls_of(core, "open_store") == []


async def test_a_pane_that_waited_for_the_store_reloads() -> None:
    core, questions = StoreScript(vault=LOCKED), StandInQuestions()
    questions.objects["aws_s3"] = NotOffered("the vault is locked", code="locked")
    app = console(core, questions)
    async with app.run_test(size=(100, 30)) as pilot:
        await sees(pilot, "Unlock the vault")
        await pilot.press("escape")
        await sees(pilot, "U opens the credential store")
        questions.objects["aws_s3"] = {"found.tar": 7}
        await pilot.press("U")
        await typed(pilot, PASSPHRASE, "enter")
        await sees(pilot, "vault ready", "found.tar")


class LateQuestions(StandInQuestions):
    """The first answer has the state at the time of its question, and arrives when `gate` opens."""

    def list_page(self, question: ListPage) -> Page:
        if self.objects[question.instance] is LOCKED_OUT and self.gate is not None:
            self.gate.wait(10)
            raise LOCKED_OUT
        return super().list_page(question)


LOCKED_OUT = NotOffered("the vault is locked", code="locked")


async def test_an_answer_from_before_the_store_was_open_is_asked_for_again() -> None:
    core, questions = StoreScript(vault=LOCKED), LateQuestions()
    questions.objects["aws_s3"], questions.gate = LOCKED_OUT, threading.Event()

    def opened() -> None:  # as the console starts, by what is set up for it
        core.states[StoreBackend.VAULT] = READY

    core.open_store = opened  # type: ignore[method-assign]
    app = console(core, questions)
    async with app.run_test(size=(100, 30)) as pilot:
        await sees(pilot, "vault ready", "loading")
        questions.objects["aws_s3"] = {"found.tar": 7}
        questions.gate.set()
        await sees(pilot, "found.tar")


async def test_a_worker_that_lacks_the_key_gets_it_from_an_open_console() -> None:
    core = StoreScript(vault=READY)
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, "vault ready")
        assert calls_of(core, "ensure_worker") == []
        locked = ErrorInfo("vault_locked", "the vault is locked", "", "locked")
        core.items = [item(1, ItemState.WAITING, error=locked)]
        core.changed()
        await until(pilot, lambda: calls_of(core, "ensure_worker") == [("ensure_worker",)])


async def test_secrets_left_in_the_file_move_once_the_store_is_open() -> None:
    core = StoreScript(vault=LOCKED)
    core.adoption = Adoption(left=("aws_s3.secret_key",))
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, "Unlock the vault")
        core.adoption = Adoption(moved=("aws_s3.secret_key",))
        await typed(pilot, PASSPHRASE, "enter")
        await sees(pilot, "vault ready")
        await until(pilot, lambda: any("Moved from" in note.message for note in app._notifications))
        assert sum("plain text" in note.message for note in app._notifications) == 1


# The session's keyring


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (NotOffered("this keyring cannot be unlocked"), "This keyring cannot be opened from a terminal"),
        (Dismissed("the keyring stayed locked"), "The keyring was not unlocked"),
        (None, "Wrong password for the keyring"),
    ],
)
async def test_each_reason_for_a_locked_keyring_has_its_text_and_the_vault_is_offered(
    refusal: ProviderError | None, words: str
) -> None:
    core = StoreScript(secret_service=LOCKED, vault=NONE)
    core.known_credentials = []
    core.store_refusal = refusal
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, "Unlock the keyring", "Another store")
        await typed(pilot, "wrong", "enter")
        await sees(pilot, words)
        await pilot.press("tab", "enter")
        await sees(pilot, "Where secrets are kept", "vault (an encrypted file", "recommended here")
        await pilot.press("down", "enter")
        await sees(pilot, "Create the vault", "how hard to guess")
        await typed(pilot, PASSPHRASE, "enter")
        await typed(pilot, PASSPHRASE, "enter")
        await sees(pilot, "vault ready")
        assert ("use_store", StoreBackend.VAULT) in core.calls


async def test_a_keyring_without_collection_is_created_with_a_password_typed_twice() -> None:
    core = StoreScript(secret_service=NONE, vault=NONE)
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, "keyring not set up")
        await pilot.press("3", "u")
        await sees(pilot, "Create the keyring")
        await typed(pilot, PASSPHRASE, "enter")
        await typed(pilot, "marble tractor", "enter")
        await sees(pilot, "The two differ")
        await typed(pilot, PASSPHRASE, "enter")
        await sees(pilot, "keyring ready")
        assert calls_of(core, "create_store") == [("create_store", StoreBackend.SECRET_SERVICE)]


async def test_choosing_a_store_that_hangs_only_shows_its_fix() -> None:
    core = StoreScript(secret_service=StoreState.HUNG, vault=NONE)
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, "keyring does not answer")
        await pilot.press("3", "u")
        await sees(pilot, "✖ does not answer", "gave no answer")
        await pilot.press("enter")
        await sees(pilot, "An error occurred", "→ End it.")
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert core.typed == []


# A new passphrase


async def test_the_quality_is_shown_while_typing_and_a_weak_passphrase_needs_a_second_enter() -> None:
    core = StoreScript(vault=NONE)
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, "vault not set up")
        await pilot.press("3", "u")
        await sees(pilot, "Create the vault", "you must set credentials again")
        await pilot.press(*"password1")
        await sees(pilot, "very weak · guessed within a minute", "among the first guesses")
        await pilot.press("enter", *"password1", "enter")
        await sees(pilot, "Easy to guess. ↵ again accepts it anyway.")
        assert core.typed == []
        await pilot.press("enter")
        await sees(pilot, "vault ready")
        assert core.typed == ["password1"]


async def test_keys_typed_ahead_land_in_their_own_field() -> None:
    from textual import events

    core = StoreScript(vault=NONE)
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, "vault not set up")
        await pilot.press("3", "u")
        await sees(pilot, "Create the vault")
        for key in [*PASSPHRASE, "enter", *PASSPHRASE, "enter"]:
            app.post_message(events.Key("space" if key == " " else key, key if len(key) == 1 else None))
        await sees(pilot, "vault ready")
        assert core.typed == [PASSPHRASE]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (3.0, "within a minute"),
        (60.0, "in about 1 minute"),
        (7200.0, "in about 2 hours"),
        (86_400.0 * 40, "in about 40 days"),
        (31_557_600.0 * 79, "in about 79 years"),
        (1e300, "in more than 1,000 years"),
    ],
)
def test_guessing_times(seconds: float, words: str) -> None:
    assert guessing_time(seconds) == words


# Moving


async def choose_vault(pilot: Any) -> None:
    await sees(pilot, "services ready")
    await pilot.press("5", "c")
    await sees(pilot, "1 credential")
    await pilot.press("s")
    await sees(pilot, "↵ selects")
    await pilot.press("down", "enter")
    await typed(pilot, PASSPHRASE, "enter")
    await typed(pilot, PASSPHRASE, "enter")
    await sees(pilot, "Move the credentials?", "Secret Service", "read back")


async def test_choosing_another_store_moves_what_is_in_the_first_and_deletes_only_when_asked() -> None:
    core = StoreScript(secret_service=READY, vault=NONE)
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await choose_vault(pilot)
        await pilot.press("y")
        await sees(pilot, "✔ copy", "✔ read back and compare", "✔ switch", "· delete", "y deletes them.")
        assert calls_of(core, "remove_copies") == []
        await pilot.press("y")
        await sees(pilot, "✔ delete", "1 copy deleted")
        await pilot.press("escape")
        await sees(pilot, "vault ready")
        assert core.left_in is None


async def test_a_move_is_stopped_between_two_credentials_and_its_copies_are_deleted_later() -> None:
    core = StoreScript(secret_service=READY, vault=NONE)
    app = console(core, ScriptedQuestions())
    reached, go_on = threading.Event(), threading.Event()

    def hold(progress: MoveProgress) -> None:
        if progress.step is MoveStep.COMPARE:
            reached.set()
            assert go_on.wait(10)

    core.on_step = hold
    async with app.run_test(size=(80, 24)) as pilot:
        await choose_vault(pilot)
        await pilot.press("y")
        await until(pilot, reached.is_set)
        await pilot.press("escape")
        await sees(pilot, "Stopping…")
        go_on.set()
        await sees(pilot, "Stopped. Nothing is lost")
        assert core.in_use is StoreBackend.SECRET_SERVICE
        await pilot.press("escape")
        core.in_use, core.left_in = StoreBackend.VAULT, StoreBackend.SECRET_SERVICE
        app.bridge.instances_changed()
        await sees(pilot, "▲ left over", "m deletes them")
        await pilot.press("m")
        await sees(pilot, "y deletes them.")
        await pilot.press("y")
        await sees(pilot, "1 copy deleted")
        assert core.left_in is None


async def test_an_error_of_a_move_stays_in_the_dialogue() -> None:
    core = StoreScript(secret_service=READY, vault=READY)
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, "services ready")
        await pilot.press("5", "c")
        await sees(pilot, "1 credential")
        await pilot.press("s")
        await sees(pilot, "↵ selects")
        await pilot.press("down", "enter")
        await sees(pilot, "Move the credentials?")
        core.store_refusal = Dismissed("the keyring was locked meanwhile")
        await pilot.press("y")
        await sees(pilot, "The keyring was not unlocked", "locked meanwhile", "esc close")
        assert core.in_use is StoreBackend.SECRET_SERVICE


# What is typed stays out of sight


@pytest.mark.few(2)
@pytest.mark.parametrize(("state", "keys"), [(LOCKED, "u"), (NONE, "u"), (READY, "p")])
async def test_a_typed_passphrase_is_in_no_screenshot_and_no_clipboard(state: StoreState, keys: str) -> None:
    canary = "canary-typed-into-a-dialogue"
    core = StoreScript(vault=state)
    core.known_instances = [instance("local")]
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, "1 of 3 services ready")
        await pilot.press("5", "c")
        await sees(pilot, "1 credential")
        await pilot.press(keys)
        await until(pilot, lambda: focused_secret(app))
        field = app.focused
        assert isinstance(field, SecretInput)
        await pilot.press(*canary, "shift+home", "ctrl+c", "ctrl+x")
        await until(pilot, lambda: "•" * len(canary) in screen_text(app))
        pictures = screen_text(app) + app.export_screenshot() + repr(app.screen) + app.clipboard
        await pilot.press("enter")
        if state is not LOCKED:
            await pilot.press(*canary)
            await until(pilot, lambda: screen_text(app).count("•" * len(canary)) == 2)
            pictures += screen_text(app) + app.export_screenshot() + app.clipboard
        else:
            await sees(pilot, "Wrong passphrase")
            assert field.value == ""
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 2)
        pictures += screen_text(app) + app.export_screenshot() + app.clipboard
        assert canary not in pictures


async def test_fields_are_cleared_once_the_store_is_asked() -> None:
    core = StoreScript(vault=NONE)
    core.store_refusal = Dismissed("not this time")
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, "vault not set up")
        await pilot.press("3", "u")
        await typed(pilot, PASSPHRASE, "enter")
        await typed(pilot, PASSPHRASE, "enter")
        await sees(pilot, "not this time")
        assert [field.value for field in app.screen.query(SecretInput)] == ["", ""]
