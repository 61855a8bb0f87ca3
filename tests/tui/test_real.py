"""The console with the real core, child process and worker: local storage without any set-up."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.core.core import Core
from backup.queries.client import QuestionsClient
from backup.system.paths import Paths
from screens.browse import BrowseScreen
from screens.modals.confirm import ConfirmScreen
from tests.cli.conftest import write_config
from tests.processes import stop_worker
from tests.tui.standin import screen_text, until
from tui.app import BackupConsole

NAME = "[/] \u202e\x1b[2J.bin"


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Paths]:
    for kind in ("CONFIG", "STATE", "DATA"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind.lower()))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    folder = tmp_path / "home" / "album"
    folder.mkdir(parents=True)
    (folder / NAME.replace("/", "")).write_bytes(os.urandom(300_000))
    (folder / "empty").touch()
    paths = Paths.default()
    yield paths
    assert stop_worker(paths)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def test_a_folder_goes_up_is_proved_comes_back_and_is_deleted(paths: Paths, tmp_path: Path) -> None:
    app = BackupConsole(Core(paths), QuestionsClient(paths))
    source = tmp_path / "home" / "album" / NAME.replace("/", "")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "Nothing is stored here yet." in screen_text(app), timeout_s=20)
        screen = app.screen
        assert isinstance(screen, BrowseScreen)
        await until(pilot, lambda: "album/" in screen_text(app))
        await pilot.press("down", "u")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen), timeout_s=10)
        assert "2 files" in screen_text(app)
        await pilot.press("y")
        await until(pilot, lambda: bool(screen.remote.listing.view), timeout_s=30)
        await pilot.press("3")
        await until(pilot, lambda: screen_text(app).count("✔") >= 2 and "verified 2" in screen_text(app), timeout_s=20)
        assert f"sha-256 {digest(source)[:6]}" in screen_text(app)
        assert all(character.isprintable() for character in screen_text(app).replace("\n", ""))
        stored = [path for path in paths.local_storage.rglob("*") if path.is_file() and path.stat().st_size == 300_000]
        assert [digest(path) for path in stored] == [digest(source)]

        source.unlink()
        await pilot.press("2", "tab", "home", "d")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen), timeout_s=10)
        await pilot.press("y")
        await until(pilot, lambda: source.exists(), timeout_s=20)
        assert digest(source) == digest(stored[0])

        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen), timeout_s=10)
        await pilot.press("y")
        await until(pilot, lambda: not stored[0].exists(), timeout_s=20)
        await until(pilot, lambda: "Nothing is stored here yet." in screen_text(app), timeout_s=10)


async def test_the_state_follows_a_failed_check_at_once_and_one_that_passes_again(paths: Paths, tmp_path: Path) -> None:
    """Checks the screen, the title bar and the list."""
    disk = tmp_path / "disk"
    disk.mkdir()
    write_config(paths, local={"enabled": True, "container": str(disk)})
    app = BackupConsole(Core(paths), QuestionsClient(paths))
    async with app.run_test(size=(140, 60)) as pilot:
        await pilot.press("1")
        await until(pilot, lambda: "● ready · enabled" in screen_text(app), timeout_s=20)
        ready = app.bridge.ready_services
        disk.rmdir()
        await pilot.press("t")
        await until(pilot, lambda: "enabled · refused when last asked" in screen_text(app), timeout_s=20)
        text = screen_text(app)
        assert "▲ Local disk" in text
        assert "● ready" not in text
        assert f"{ready - 1} of 5 services ready" in text
        disk.mkdir()
        await pilot.press("t")
        await until(pilot, lambda: "● ready · enabled" in screen_text(app), timeout_s=20)
        assert f"{ready} of 5 services ready" in screen_text(app)


@pytest.mark.parametrize("size", [(140, 60), (100, 30), (80, 24)])
async def test_a_failed_check_is_explained_once_next_to_the_state(
    paths: Paths, tmp_path: Path, size: tuple[int, int]
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    write_config(paths, local={"enabled": True, "container": str(disk)})
    app = BackupConsole(Core(paths), QuestionsClient(paths))
    async with app.run_test(size=size) as pilot:
        await pilot.press("1")
        await until(pilot, lambda: "● ready · enabled" in screen_text(app), timeout_s=20)
        disk.rmdir()
        await pilot.press("t")
        await until(pilot, lambda: "refused when" in screen_text(app), timeout_s=20)
        await until(pilot, lambda: "✖ failed just now" in screen_text(app))
        await pilot.pause()
        text = screen_text(app)
        assert "▲ enabled · refused when" in text
        assert (text.count("✖ The folder does not exist"), text.count("✖ Not found")) == (1, 0)
        assert text.count("→ Check that the disk") == 1
        assert "✖ reach" in text


async def test_the_state_follows_a_listing_that_is_refused(paths: Paths, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    write_config(paths, local={"enabled": True, "container": str(disk)})
    app = BackupConsole(Core(paths), QuestionsClient(paths))
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "Nothing is stored here yet." in screen_text(app), timeout_s=20)
        disk.rmdir()
        await pilot.press("tab", "r")
        await until(pilot, lambda: "Not found" in screen_text(app), timeout_s=20)
        await pilot.press("1")
        await until(pilot, lambda: "enabled · refused when last asked" in screen_text(app), timeout_s=20)
        disk.mkdir()
        await pilot.press("2", "r")
        await until(pilot, lambda: "Nothing is stored here yet." in screen_text(app), timeout_s=20)
        await pilot.press("1")
        await until(pilot, lambda: "● ready · enabled" in screen_text(app), timeout_s=20)


@pytest.mark.parametrize("size", [(100, 30), (80, 24)])
async def test_the_unsupported_encryption_setting_refuses_uploads_and_downloads_but_not_deletion(
    paths: Paths, tmp_path: Path, size: tuple[int, int]
) -> None:
    """Neither is planned, asked about or queued; the pane names the setting that prevents it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    (disk / "stored.bin").write_bytes(b"ciphertext")
    write_config(paths, local={"enabled": True, "container": str(disk), "encryption_enabled": True})
    app = BackupConsole(Core(paths), QuestionsClient(paths))
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "stored.bin" in screen_text(app) and "album/" in screen_text(app), timeout_s=20)
        screen = app.screen
        assert isinstance(screen, BrowseScreen)
        notice = screen.remote.notice
        for keys, put_away in ((("home", "down", "u"), ("tab", "escape")), (("home", "d"), ("escape",))):
            await pilot.press(*keys)
            await until(pilot, lambda: notice.has_class("shown"), timeout_s=20)
            assert "encryption_enabled" in screen_text(app)
            assert app.screen is screen
            await pilot.press(*put_away)
            await until(pilot, lambda: not notice.has_class("shown"))
        assert app.bridge.core.queue.snapshot().jobs == ()
        assert not (tmp_path / "home" / "stored.bin").exists()
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen), timeout_s=20)
        await pilot.press("y")
        await until(pilot, lambda: not (disk / "stored.bin").exists(), timeout_s=20)
