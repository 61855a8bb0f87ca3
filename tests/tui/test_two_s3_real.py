"""Two S3 instances with different endpoints in every mode of the console: rclone's server and moto's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backup.core.core import Core
from backup.queries.client import QuestionsClient
from backup.system.paths import Paths
from screens.browse import BrowseScreen
from screens.modals.confirm import ConfirmScreen
from tests.cli.conftest import s3_instance, write_aws_credentials, write_config
from tests.processes import stop_worker
from tests.servers.s3_server import S3Server
from tests.tui.standin import screen_text, until
from tui.app import BackupConsole


@pytest.mark.full
async def test_two_s3_instances_stand_side_by_side(paths: Paths, rclone_s3: S3Server, moto_s3: S3Server) -> None:
    write_aws_credentials()
    servers = {"aws_s3": (rclone_s3, rclone_s3.new_bucket()), "nas": (moto_s3, moto_s3.new_bucket())}
    write_config(paths, **{name: s3_instance(server, bucket) for name, (server, bucket) in servers.items()})
    settings = json.loads(paths.config_file.read_text())
    paths.config_file.write_text(json.dumps(settings | {"default_provider": "aws_s3"}))
    home = Path.home()
    home.mkdir(parents=True, exist_ok=True)
    (home / "zebra.txt").write_bytes(b"stripes")
    app = BackupConsole(Core(paths), QuestionsClient(paths))
    try:
        async with app.run_test(size=(140, 42)) as pilot:

            async def sees(*words: str) -> None:
                await until(pilot, lambda: all(word in screen_text(app) for word in words), timeout_s=40)

            await sees("services ready", "zebra.txt", f"aws_s3  {servers['aws_s3'][1]}")
            for name, (server, bucket) in servers.items():
                await pilot.press("i")
                await sees("Browse which provider?", *servers)
                await pilot.press("home", *["down"] * (1 + list(servers).index(name)), "enter")
                await sees(f"{name}  {bucket}", "Nothing is stored here yet.")
                screen = app.screen
                assert isinstance(screen, BrowseScreen)
                await pilot.press("tab", "end", "u")
                await until(pilot, lambda: isinstance(app.screen, ConfirmScreen), timeout_s=40)
                await pilot.press("y")
                await until(pilot, lambda: bool(screen.remote.listing.view), timeout_s=40)  # noqa: B023 - awaited here
                assert server.objects(bucket) == {"zebra.txt": b"stripes"}
            await pilot.press("3")
            await sees("verified 2")
            rows = [line for line in screen_text(app).splitlines() if "zebra.txt" in line and "sha-256" in line]
            assert sorted(name for row in rows for name in servers if f" {name} " in row) == sorted(servers)

            await pilot.press("1")
            for down, (name, (server, bucket)) in enumerate(servers.items(), start=1):
                await pilot.press("home", *["down"] * down, "t")
                await sees("✔ passed just now", server.url, bucket, f"─ AWS S3{'  nas' * (name == 'nas')} ─")
            await pilot.press("5")
            await sees("aws_s3", "nas", "no limit")
    finally:
        assert stop_worker(paths)
