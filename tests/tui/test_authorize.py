"""Authorisation in the console, with the real core and child, OAuth test endpoints and a keyring."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.widgets import Button, Input

from backup.core.core import Core
from backup.queries.client import QuestionsClient
from backup.system.paths import Paths
from providers.secret import Secret
from screens.modals.authorize import AuthorizeScreen
from screens.modals.qr_code import QrScreen
from screens.providers import ProvidersScreen
from tests.credentials_fixture import SecretService
from tests.providers.test_google_drive_oauth import browse
from tests.servers.drive_oauth import ACCOUNT, CLIENT_ID, CLIENT_SECRET
from tests.servers.drive_server import DriveServer
from tests.servers.dropbox_server import APP_KEY, EMAIL, DropboxServer
from tests.tui.standin import screen_text, until
from tests.tui.test_setup_real import fill_in, open_service, sees
from tui.app import BackupConsole


@asynccontextmanager
async def console(paths: Paths) -> AsyncIterator[Any]:
    app = BackupConsole(Core(paths), QuestionsClient(paths))
    async with app.run_test(size=(120, 60)) as pilot:
        yield pilot


def address(pilot: Any) -> str:
    screen = pilot.app.screen
    assert isinstance(screen, AuthorizeScreen)
    assert screen._begun is not None
    return screen._begun.authorization.address


async def bring_back(pilot: Any, text: str) -> None:
    pilot.app.screen.query_one("#authorize-pasted", Input).value = text
    await pilot.press("enter")


@pytest.mark.full
async def test_dropbox_from_form_to_browse(paths: Paths, secret_service: SecretService) -> None:
    with DropboxServer() as server:
        async with console(paths) as pilot:
            await open_service(pilot, "dropbox")
            await fill_in(pilot, app_key=APP_KEY, endpoint_url=server.url)
            pilot.app.screen.query_one("#authorize-button", Button).press()
            await sees(pilot, "Authorise Dropbox", "oauth2/authorize", "▀▀▀")
            await bring_back(pilot, "not-a-code")
            await sees(pilot, "expired", "start again")
            await pilot.press("ctrl+r")
            await until(pilot, lambda: not pilot.app.screen.problem.there)
            await sees(pilot, "oauth2/authorize")
            await bring_back(pilot, server.allow(address(pilot)))
            await sees(pilot, "✔ Authorised", EMAIL)
            pilot.app.screen.query_one("Button#check", Button).press()
            await sees(pilot, "All five steps passed.")
            await pilot.press("enter")
            await sees(pilot, "The secret goes to the keyring", "✔ ready")
            await pilot.press("enter")
            await sees(pilot, "dropbox is saved, checked and enabled.")
    saved = json.loads(paths.config_file.read_text())["providers"]["dropbox"]
    assert saved["account_id"].startswith("dbid:")
    assert "refresh_token" not in saved


async def test_google_drive_from_credentials_to_check(paths: Paths, secret_service: SecretService) -> None:
    with DriveServer() as server:
        server.store.folder("Backups")
        core = Core(paths)
        values = {"container": "Backups", "client_id": CLIENT_ID, "endpoint_url": server.url}
        core.instances.save("google_drive", "google_drive", values, {"client_secret": Secret(CLIENT_SECRET)})
        core.close()
        async with console(paths) as pilot:
            await sees(pilot, "services ready")
            await pilot.press("1")
            await sees(pilot, "google_drive")
            pilot.app.screen.listing.choose("google_drive")
            await pilot.press("c")
            await sees(pilot, "Credentials of google_drive")
            pilot.app.screen.query_one("#authorize-button", Button).press()
            await sees(pilot, "Paste an address", "Through ssh", "On another device")
            await pilot.press("down", "enter")
            await sees(pilot, "ssh -N -L", "o/oauth2/v2/auth")
            opened = address(pilot)
            await pilot.press("ctrl+g")  # what is shown over the dialogue does not keep the answer
            await until(pilot, lambda: isinstance(pilot.app.screen, QrScreen))
            await pilot.app.bridge.call(browse, browse(opened))
            await until(pilot, lambda: isinstance(pilot.app.screen, ProvidersScreen), timeout_s=20)
            await pilot.press("t")
            await sees(pilot, "✔ write, read, delete")
    assert json.loads(paths.config_file.read_text())["providers"]["google_drive"]["account"] == ACCOUNT


async def test_closing_the_dialogue_ends_the_authorisation(paths: Paths, secret_service: SecretService) -> None:
    with DropboxServer() as server:
        async with console(paths) as pilot:
            await open_service(pilot, "dropbox")
            await fill_in(pilot, app_key=APP_KEY, endpoint_url=server.url)
            pilot.app.screen.query_one("#authorize-button", Button).press()
            await sees(pilot, "oauth2/authorize", "▀▀▀")
            await pilot.resize_terminal(80, 24)
            await sees(pilot, "ctrl+g shows the address as a QR code.")
            await pilot.press("ctrl+g")
            await sees(pilot, "the window 80 x 23: a smaller font", "▀▀▀")
            await pilot.resize_terminal(120, 60)
            await until(pilot, lambda: "smaller font" not in screen_text(pilot.app))
            await pilot.press("escape")
            await sees(pilot, "Authorise Dropbox")
            await pilot.press("escape")
            await until(pilot, lambda: not isinstance(pilot.app.screen, AuthorizeScreen))
            assert "Authorised" not in str(pilot.app.screen.query_one("#authorized").render())
    assert not paths.config_file.exists()
