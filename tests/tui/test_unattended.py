"""The set-up of unattended jobs in the console with the real core, and the slots of the vault."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input, OptionList

from backup.config import file as config
from backup.core.core import Core
from backup.credentials.unattended.units import PROTECTION, Variant
from backup.credentials.vault_file.file import VaultFile
from backup.credentials.vault_file.unlocked import vault_path
from backup.queries.client import QuestionsClient
from backup.system.paths import Paths
from providers.secret import Secret
from tests.backup.vault_tools import PASSPHRASE
from tests.tui.scripted import ScriptedQuestions
from tests.tui.scripted_store import StoreScript
from tests.tui.standin import console, screen_text, until
from tests.tui.test_credentials import open_credentials
from tests.tui.test_import import sees, vault
from tests.tui.test_store_dialogues import READY, typed
from tui.app import BackupConsole

__all__ = ["vault"]
SECOND = "yonder maple cobalt hinge"


def words_on(app: BackupConsole) -> str:
    """The text of a dialogue, with its lines joined."""
    return " ".join(screen_text(app).replace("│", " ").split())


async def choose(pilot: Any, downs: int, first_field: str) -> None:
    await sees(pilot, "services ready")
    await pilot.press("5", "c")
    await sees(pilot, "CREDENTIAL", "j jobs")
    await pilot.press("j")
    await until(pilot, lambda: isinstance(pilot.app.focused, OptionList))
    await pilot.press(*["down"] * downs, "enter")
    await sees(pilot, first_field)
    await until(pilot, lambda: isinstance(pilot.app.focused, Input))


async def test_each_way_shows_what_it_protects_against(vault: Paths) -> None:
    app = BackupConsole(Core(vault), QuestionsClient(vault))
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, "services ready")
        await pilot.press("5", "c")
        await sees(pilot, "CREDENTIAL")
        await pilot.press("j")
        await sees(pilot, "systemd credential", "Key file (0600)", "password_command")
        shown = words_on(app)
        for sentence in PROTECTION.values():
            assert all(part in shown for part in sentence.split())
        await pilot.press("enter")
        await sees(pilot, "Unit folder")
        await pilot.press("enter")
        await sees(pilot, "a unit reads the credential")


async def test_a_key_file_is_set_up_with_units_and_the_commands_left_to_run(vault: Paths, tmp_path: Path) -> None:
    units = tmp_path / "my units"
    app = BackupConsole(Core(vault), QuestionsClient(vault))
    async with app.run_test(size=(140, 42)) as pilot:
        await choose(pilot, 1, "Created for you alone")
        await pilot.press("tab")
        app.focused.value = str(units)  # type: ignore[union-attr]
        await pilot.press("enter")
        await typed(pilot, PASSPHRASE.reveal(), "enter")
        await sees(pilot, "Now run, in a shell:", "systemd-analyze verify finds nothing wrong")
        command = f"sudo cp '{units}'/homeserver-backup.service"
        assert command in words_on(app)
        await pilot.press("y")
        assert command in app.clipboard
        assert "sudo systemctl enable --now homeserver-backup.timer" in app.clipboard
        key_file = vault.state_dir / "vault.key"
        assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
        assert key_file.read_text().strip() not in screen_text(app) + app.clipboard
        await pilot.press("escape")
        await sees(pilot, "opened by a key file", "2 ways to open it")
        (units / "homeserver-backup.timer").write_text("mine")
        await pilot.press("j")
        await sees(pilot, "Key file (0600)  set up:")
        await pilot.press("down", "enter")
        await sees(pilot, "Created for you alone")
        assert app.focused.value == str(key_file)  # type: ignore[union-attr]
        await pilot.press("tab")
        app.focused.value = str(units)  # type: ignore[union-attr]
        await pilot.press("enter")
        await sees(pilot, "Replace the units?", "exists with other content")
        await pilot.press("escape")
        await sees(pilot, "Check it, then replace it.")
        assert (units / "homeserver-backup.timer").read_text() == "mine"
    assert config.load(vault).store.key_file == str(key_file)


@pytest.mark.parametrize(
    ("command", "expected"), [("echo 'no end", "a quote is left open"), ("echo wrong", "does not open the vault")]
)
async def test_an_invalid_command_is_reported_and_nothing_is_set_up(vault: Paths, command: str, expected: str) -> None:
    core = Core(vault)
    core.credentials.unlock(PASSPHRASE)
    app = BackupConsole(core, QuestionsClient(vault))
    async with app.run_test(size=(80, 24)) as pilot:
        await choose(pilot, 2, "Command")
        app.focused.value = command  # type: ignore[union-attr]
        await pilot.press("enter")
        await sees(pilot, expected)
        assert config.load(vault).store.password_command == ()
        app.focused.value = f"echo '{PASSPHRASE.reveal()}'"  # type: ignore[union-attr]
        await pilot.press("enter")
        await sees(pilot, "✔ password_command", "esc close")
    assert config.load(vault).store.password_command == ("echo", PASSPHRASE.reveal())
    assert config.load(vault).store.key_file == ""


async def test_only_the_vault_opens_by_itself() -> None:
    app = console(StoreScript(secret_service=READY), ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_credentials(pilot)
        await pilot.press("j")
        await sees(pilot, "only the vault opens for unattended jobs", "→ s moves credentials to the vault.")


async def test_the_store_details_and_removing_a_slot(vault: Paths, tmp_path: Path) -> None:
    file = VaultFile(vault_path(vault))
    core = Core(vault)
    core.credentials.unlock(PASSPHRASE)
    key = core.credentials.add_key_slot("systemd")
    app = BackupConsole(core, QuestionsClient(vault))
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, "services ready")
        await pilot.press("5", "c")
        await sees(pilot, "2 ways to open it", "w shows details")
        await pilot.press("w")
        await sees(pilot, "It opens with", "mine · made today", "systemd · made today")
        assert "machine changes that" not in screen_text(app)
        await pilot.press("pagedown")
        await sees(pilot, "machine changes that")  # the last words about the store, which are cut on the screen below
        await pilot.press("down", "delete")
        await sees(pilot, "Remove this slot?", "removes     systemd")
        await pilot.press("enter")
        assert len(file.describe().slots) == 2
        await pilot.press("delete")
        await sees(pilot, "Remove this slot?")
        await pilot.press("y")
        await until(pilot, lambda: "systemd · made" not in screen_text(app) and "mine · made" in screen_text(app))
        assert [slot.label for slot in file.describe().slots] == ["mine"]
        assert "remove this one" not in screen_text(app)  # the last one stays
        await pilot.press("a")
        await typed(pilot, SECOND, "enter")
        await typed(pilot, SECOND, "enter")
        await sees(pilot, "another passphrase · made today")
        await pilot.press("n")
        await typed(pilot, PASSPHRASE.reveal(), "enter")
        await sees(pilot, "Renew the key without the others?")
        await pilot.press("y")
        await until(pilot, lambda: "another passphrase" not in screen_text(app) and "mine · made" in screen_text(app))
    assert [slot.label for slot in file.describe().slots] == ["mine"]
    assert isinstance(key, Secret)


def test_every_way_has_a_title() -> None:
    from screens.modals.credentials.unattended import FIELDS, TITLES

    assert set(FIELDS) == set(TITLES) == set(Variant)
