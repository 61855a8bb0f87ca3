"""The secrets step of the set-up flow without a ready store."""

from __future__ import annotations

import pytest

from backup.credentials.vault_file.errors import VaultNotWritten
from backup.model.credentials import StoreBackend, StoreState
from tests.tui.scripted import ScriptedQuestions, calls_of
from tests.tui.scripted_store import PASSPHRASE, StoreScript
from tests.tui.standin import console, screen_text, until
from tests.tui.test_setup import CANARY, SIZES, fill_in, open_s3_form, sees
from tests.tui.test_store_dialogues import typed


def nothing_kept(**states: StoreState) -> StoreScript:
    """First use: no provider needs a store."""
    core = StoreScript(**states)
    core.known_instances.pop()
    core.known_credentials = []
    return core


@pytest.mark.parametrize("size", SIZES)
async def test_a_vault_is_created_in_the_flow_and_the_secret_goes_to_it(size: tuple[int, int]) -> None:
    core = nothing_kept(vault=StoreState.NO_COLLECTION)
    core.in_use = None
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=size) as pilot:
        await open_s3_form(pilot)
        await fill_in(pilot)
        await sees(pilot, "All five steps passed.")
        await pilot.press("enter")
        await sees(pilot, "Create a vault for the secret", "/home/x/vault.json", "has no session bus")
        await sees(pilot, "Repeat it", "Another store")
        await typed(pilot, PASSPHRASE, "enter")
        await sees(pilot, "fair · guessed in about 79 years")
        assert core.calls == []
        await typed(pilot, PASSPHRASE, "enter")
        await sees(pilot, "aws_s3 is saved, checked and enabled.")
        assert calls_of(core, "create_store") == [("create_store", StoreBackend.VAULT)]
        assert core.secrets["aws_s3"]["secret_key"].reveal() == CANARY
        assert PASSPHRASE not in screen_text(app) + app.export_screenshot() + repr(vars(app.screen))


async def test_a_vault_that_cannot_be_written_shows_a_lasting_error_and_nothing_is_saved() -> None:
    core = nothing_kept(vault=StoreState.NO_COLLECTION)
    core.store_refusal = VaultNotWritten("no room on the disk")
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_s3_form(pilot)
        await fill_in(pilot)
        await sees(pilot, "All five steps passed.")
        await pilot.press("enter")
        await typed(pilot, PASSPHRASE, "enter")
        await typed(pilot, PASSPHRASE, "enter")
        await sees(pilot, "The vault cannot be written", "no room on the disk", "Nothing has been saved.")
        assert calls_of(core, "save") == []
        await pilot.press("r")
        await sees(pilot, "Create a vault for the secret")


async def test_a_locked_vault_is_unlocked_on_the_way() -> None:
    core = nothing_kept(vault=StoreState.LOCKED)
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_s3_form(pilot)
        await fill_in(pilot)
        await sees(pilot, "All five steps passed.")
        await pilot.press("enter")
        await sees(pilot, "The secret cannot be stored now: u opens the store", "▲ locked")
        await pilot.press("u")
        await typed(pilot, PASSPHRASE, "enter")
        await sees(pilot, "aws_s3 is saved, checked and enabled.")


async def test_another_store_can_be_chosen_instead_of_the_vault() -> None:
    core = nothing_kept(secret_service=StoreState.LOCKED, vault=StoreState.NO_COLLECTION)
    core.in_use = None
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_s3_form(pilot)
        await fill_in(pilot)
        await sees(pilot, "All five steps passed.")
        await pilot.press("enter")
        await sees(pilot, "Create a vault for the secret")
        await pilot.press("tab", "tab", "enter")
        await sees(pilot, "Where secrets are kept")
        await pilot.press("home", "enter")
        await sees(pilot, "Unlock the keyring")
        await typed(pilot, PASSPHRASE, "enter")
        await sees(pilot, "aws_s3 is saved, checked and enabled.")
        await until(pilot, lambda: ("use_store", StoreBackend.SECRET_SERVICE) in core.calls)
