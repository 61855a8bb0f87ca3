"""A plug-in in the style of the guide, in the console: form, check and browser."""

from __future__ import annotations

from pathlib import Path

from textual.widgets import Button

from backup.core.core import Core
from backup.queries.client import QuestionsClient
from backup.system.paths import Paths
from tests.tui.standin import until
from tests.tui.test_setup_real import open_service, sees
from tui.app import BackupConsole
from tui.widgets.settings_form import SettingsForm


async def test_from_form_to_browse(paths: Paths, acme: Path) -> None:
    (acme / "already-there.txt").write_bytes(b"1")
    app = BackupConsole(Core(paths), QuestionsClient(paths))
    async with app.run_test(size=(100, 40)) as pilot:
        await open_service(pilot, "acme")
        await until(pilot, lambda: bool(app.screen.query(SettingsForm)))
        assert app.screen.query("#field-container")
        assert not app.screen.query("#field-max_bandwidth, #field-region")
        app.screen.query_one(SettingsForm).set_text("container", str(acme))
        app.screen.query_one("Button#check", Button).press()
        await sees(pilot, "All five steps passed.")
        await pilot.press("enter")
        await sees(pilot, "There is no secret to store.")
        await pilot.press("enter")
        await sees(pilot, "acme is saved, checked and enabled.")
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "browse")
        await sees(pilot, "already-there.txt")
