"""Imports in the console, with the real core and a vault: read, choose, import, blank the old file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input, OptionList

from backup.config import file
from backup.core.core import Core
from backup.credentials.importing.rclone_obscure import obscure
from backup.credentials.vault import unlocked_here
from backup.credentials.vault_file.file import VaultFile
from backup.credentials.vault_file.unlocked import vault_path
from backup.model.credentials import StoreBackend
from backup.queries.client import QuestionsClient
from backup.system.paths import Paths
from providers.secret import Secret
from tests.backup.vault_tools import CHEAP, PASSPHRASE
from tests.tui.standin import screen_text, until
from tests.tui.test_store_dialogues import typed
from tui.app import BackupConsole

CANARY = "canary-in-the-old-file"
OLD = {
    "providers": {
        "b2 old": {"type": "backblaze", "bucket": "off", "username": "kid", "password": CANARY, "odd": 1},
        "evil\x1b[2J[/]": {"type": "aws_s3", "container": "p", "access_key": "AK", "secret_key": f"{CANARY}-2"},
        "ftp": {"type": "ftp", "host": "x", "password": "stays"},
    },
    "other": "kept",
}


@pytest.fixture
def vault(paths: Paths) -> Iterator[Paths]:
    """A locked vault that is cheap to open."""
    VaultFile(vault_path(paths), cost=CHEAP).create(PASSPHRASE, label="mine")
    with file.edit(paths) as draft:
        draft.choose_store(StoreBackend.VAULT)
    yield paths
    unlocked_here(vault_path(paths)).lock()


async def sees(pilot: Any, *words: str) -> None:
    await until(pilot, lambda: all(word in screen_text(pilot.app) for word in words), timeout_s=12)


async def look(pilot: Any, downs: int, path: Path | None) -> None:
    """Go from the start of the console to the findings."""
    await sees(pilot, "services ready")
    await pilot.press("5", "c")
    await sees(pilot, "CREDENTIAL", "i import")
    await pilot.press("i")
    await until(pilot, lambda: isinstance(pilot.app.focused, OptionList))
    await pilot.press(*["down"] * downs, "enter")
    await until(pilot, lambda: isinstance(pilot.app.focused, Input))
    if path is not None:
        pilot.app.focused.value = str(path)
    await pilot.press("enter")


@pytest.mark.few(1)
@pytest.mark.parametrize("blanks", [True, False])
async def test_an_earlier_file_is_imported_and_blanked_only_on_request(
    vault: Paths, tmp_path: Path, blanks: bool
) -> None:
    old = tmp_path / "old.json"
    old.write_text(json.dumps(OLD))
    app = BackupConsole(Core(vault), QuestionsClient(vault))
    async with app.run_test(size=(80, 24)) as pilot:
        await look(pilot, 0, old)
        await sees(pilot, "Found in", "b2 old  Backblaze B2 · application_key, not shown", "no such setting of", "odd")
        await sees(pilot, r"evil\x1b[2J[/]", "ftp is skipped", "Nothing is changed yet")
        assert CANARY not in screen_text(app) + app.export_screenshot()
        await pilot.press("enter")
        await typed(pilot, PASSPHRASE.reveal(), "enter")
        await sees(pilot, "Blank the secrets in the file?", "anyone who can read that file", "Keep them  esc")
        assert json.loads(old.read_text()) == OLD
        assert file.load(vault).credentials == {}
        await pilot.press("y" if blanks else "escape")
        await sees(pilot, "Imported from", "as b2-old · 1 secret in the store", "Disabled until checked")
        assert ("in the file are blank now" in screen_text(app)) is blanks
        await pilot.press("escape")
        await sees(pilot, "✔ b2-old")
        assert CANARY not in screen_text(app) + app.export_screenshot() + app.clipboard
    now = json.loads(old.read_text())
    expected = json.loads(json.dumps(OLD).replace(f"{CANARY}-2", "").replace(CANARY, "")) if blanks else OLD
    assert now == expected
    assert now["providers"]["ftp"]["password"] == "stays"
    saved = file.load(vault)
    assert set(saved.credentials) == {"b2-old", "evil-2J"}
    assert not saved.instances["b2-old"].values["enabled"] if "enabled" in saved.instances["b2-old"].values else True
    core = Core(vault)
    core.credentials.unlock(PASSPHRASE)
    assert CANARY in core.credentials.recovery_kit(["b2-old"]).reveal()
    core.close()


async def test_one_is_deselected_and_without_the_store_nothing_is_imported(vault: Paths, tmp_path: Path) -> None:
    aws = tmp_path / "home" / ".aws"
    aws.mkdir(parents=True, exist_ok=True)
    keys = "aws_access_key_id = AK\naws_secret_access_key = {}\n"
    aws.joinpath("credentials").write_text(f"[default]\n{keys.format(CANARY)}\n[work]\n{keys.format('other')}")
    aws.joinpath("config").write_text("[profile work]\nregion = eu-west-9\n")
    app = BackupConsole(Core(vault), QuestionsClient(vault))
    async with app.run_test(size=(80, 24)) as pilot:
        await look(pilot, 1, None)  # the usual file is filled in
        await sees(pilot, "Found in ~/.aws/credentials", "work  AWS S3 · secret_key, not shown")
        await pilot.press("down", "space", "enter")
        await sees(pilot, "Unlock the vault")
        await pilot.press("escape")
        await sees(pilot, "The store is not open: nothing was imported.")
        assert "work" not in file.load(vault).instances
        await pilot.press("enter")
        await typed(pilot, PASSPHRASE.reveal(), "enter")
        await sees(pilot, "✔ work · 1 secret in the store")
    saved = file.load(vault)
    assert set(saved.credentials) == {"work"}
    assert saved.instances["work"].values["region"] == "eu-west-9"
    assert CANARY in aws.joinpath("credentials").read_text()


async def test_an_rclone_file_is_imported_and_other_files_are_refused(vault: Paths, tmp_path: Path) -> None:
    dump = tmp_path / "dump.json"
    dump.write_text(json.dumps({"box": {"type": "b2", "account": "kid", "key": CANARY}}))
    obscured = obscure(Secret(CANARY))
    app = BackupConsole(Core(vault), QuestionsClient(vault))
    async with app.run_test(size=(80, 24)) as pilot:
        await look(pilot, 2, tmp_path / "missing.json")
        await sees(pilot, "✖ Not found", "No such file", "Read it  ↵")
        for text, expected in (("[box]\ntype = b2\n" + obscured, "not the JSON that rclone prints"), ("", "JSON")):
            (tmp_path / "wrong").write_text(text)
            app.focused.value = str(tmp_path / "wrong")  # type: ignore[union-attr]
            await pilot.press("enter")
            await sees(pilot, expected, "→ Pass the output of `rclone config dump`.")
        assert obscured not in screen_text(app)
        app.focused.value = str(dump)  # type: ignore[union-attr]
        await pilot.press("enter")
        await sees(pilot, "box  Backblaze B2 · application_key, not shown")
        await pilot.press("escape")
        await sees(pilot, "CREDENTIAL")
    assert file.load(vault).instances.keys() <= {"local"}
