"""The set-up of S3 with the real core, child process, S3 server and keyring."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from backup.core.core import Core
from backup.queries.client import QuestionsClient
from backup.system.paths import Paths
from screens.modals.setup.screen import SetupScreen
from tests.credentials_fixture import SecretService
from tests.servers.b2 import B2Server
from tests.servers.s3_server import ACCESS_KEY, SECRET_KEY, S3Server
from tests.tui.standin import screen_text, until
from tui.app import BackupConsole
from tui.widgets.field_row import FieldRow


async def sees(pilot: Any, *words: str) -> None:
    await until(pilot, lambda: all(word in screen_text(pilot.app) for word in words), timeout_s=30)


async def fill_in(pilot: Any, **values: str) -> None:
    await sees(pilot, "2 settings")
    for name, text in values.items():
        control = pilot.app.screen.query_one(f"#field-{name}", FieldRow).control
        assert isinstance(control, Input)
        control.value = text


async def open_service(pilot: Any, name: str) -> None:
    """Open the form of a service that is not set up yet."""
    await sees(pilot, "services ready")
    await pilot.press("1")
    await sees(pilot, "AWS S3", "not set up")
    pilot.app.screen.action_set_up(name)
    await until(pilot, lambda: isinstance(pilot.app.screen, SetupScreen))


async def open_form(pilot: Any) -> None:
    await open_service(pilot, "aws_s3")


def everything_below(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def test_from_form_to_browse_with_the_secret_in_the_keyring_alone(
    paths: Paths, tmp_path: Path, rclone_s3: S3Server, secret_service: SecretService
) -> None:
    bucket = f"made-{rclone_s3.new_bucket()}"
    (tmp_path / "home").mkdir(exist_ok=True)
    app = BackupConsole(Core(paths), QuestionsClient(paths))
    async with app.run_test(size=(100, 30)) as pilot:
        await open_form(pilot)
        values = {"container": bucket, "access_key": ACCESS_KEY, "endpoint_url": rclone_s3.url}
        await fill_in(pilot, **values, secret_key="wrong-" + SECRET_KEY)
        await pilot.press("enter")
        await sees(pilot, "✔ reach", "The key was not accepted", "Nothing has been stored yet.")
        assert not paths.config_file.exists()
        await pilot.press("b")
        await fill_in(pilot, secret_key=SECRET_KEY)
        await pilot.press("enter")
        await sees(pilot, "✔ authenticate", "The bucket does not exist", "c creates the bucket")
        await pilot.press("c")
        await sees(pilot, "All five steps passed.")
        assert rclone_s3.keys(bucket) == set()
        await pilot.press("enter")
        await sees(pilot, "The secret goes to the keyring", "✔ ready")
        await pilot.press("enter")
        await sees(pilot, "aws_s3 is saved, checked and enabled.")
        saved = json.loads(paths.config_file.read_text())["providers"]["aws_s3"]
        assert saved["enabled"] is True
        assert saved["container"] == bucket
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "browse")
        await sees(pilot, bucket, "Nothing is stored here yet.")

        await pilot.press("1", "t")
        await sees(pilot, "✔ write, read, delete", "✔ passed")
        await pilot.press("e")
        await sees(pilot, "○ disabled", "e enable")
        await pilot.press("e")
        await sees(pilot, "● ready · enabled")
        await pilot.press("delete")
        await sees(pilot, "Remove aws_s3?")
        await pilot.press("y")
        await sees(pilot, "○ AWS S3", "not set up")
    left = everything_below(tmp_path / "home")
    assert SECRET_KEY.encode() not in left
    assert b'"aws_s3"' not in paths.config_file.read_bytes()


async def test_without_a_keyring_a_vault_is_offered_before_anything_is_saved(paths: Paths, rclone_s3: S3Server) -> None:
    app = BackupConsole(Core(paths), QuestionsClient(paths))
    async with app.run_test(size=(80, 24)) as pilot:
        await open_form(pilot)
        await fill_in(
            pilot,
            container=rclone_s3.new_bucket(),
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
            endpoint_url=rclone_s3.url,
        )
        await pilot.press("enter")
        await sees(pilot, "All five steps passed.")
        await pilot.press("enter")
        await sees(pilot, "Create a vault for the secret", "it has no session bus")
        await pilot.press("enter", "enter")
        await sees(pilot, "Type a passphrase.")
        assert not paths.config_file.exists()


async def test_local_disk_needs_no_keyring(paths: Paths, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    app = BackupConsole(Core(paths), QuestionsClient(paths))
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, "services ready")
        await pilot.press("1", "s")
        await sees(pilot, "1 service")
        await pilot.press("home", "enter")
        await fill_in(pilot, container=str(disk / "missing"))
        await pilot.press("enter")
        await sees(pilot, "The folder does not exist")
        await pilot.press("c")
        await sees(pilot, "All five steps passed.")
        await pilot.press("enter")
        await sees(pilot, "There is no secret to store.")
        await pilot.press("enter")
        await sees(pilot, "local_2 is saved, checked and enabled.")
        assert [path.name for path in disk.iterdir()] == ["missing"]


@pytest.mark.parametrize("text", ['{"providers": ', '{"version": 999}'])
async def test_a_broken_configuration_is_reported_and_not_changed(paths: Paths, text: str) -> None:
    paths.config_dir.mkdir(parents=True)
    paths.config_file.write_text(text)
    app = BackupConsole(Core(paths), QuestionsClient(paths))
    async with app.run_test(size=(100, 30)) as pilot:
        await sees(pilot, "services ready")
        await pilot.press("5")
        await sees(pilot, "✖ A setting is missing or wrong", "esc dismisses")
        assert paths.config_file.read_text() == text


@pytest.mark.full
async def test_b2_with_a_key_for_a_single_bucket(
    paths: Paths, b2_server: B2Server, secret_service: SecretService
) -> None:
    """The key may neither list nor create buckets; the flow offers the bucket to which the key is limited."""
    bucket, key = b2_server.new_bucket()
    app = BackupConsole(Core(paths), QuestionsClient(paths))
    async with app.run_test(size=(100, 30)) as pilot:
        await open_service(pilot, "backblaze")
        named = {"container": "not-the-one", "realm": b2_server.url}
        await fill_in(pilot, **named, application_key_id=key.key_id, application_key=key.key)
        await pilot.press("enter")
        await sees(pilot, "✔ authenticate", "may not use this bucket", f"Set container to {bucket}", "l lists those")
        await pilot.press("l")
        await sees(pilot, "↵ selects one and checks it.")
        await pilot.press("enter")
        await sees(pilot, "All five steps passed.")
        await pilot.press("enter")
        await sees(pilot, "The secret goes to the keyring", "✔ ready")
        await pilot.press("enter")
        await sees(pilot, "backblaze is saved, checked and enabled.")
    assert json.loads(paths.config_file.read_text())["providers"]["backblaze"]["container"] == bucket
    assert key.key not in paths.config_file.read_text()
    assert b2_server.objects(bucket) == {}
