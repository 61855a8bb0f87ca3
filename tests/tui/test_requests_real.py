"""The number of requests to a service that charges for them."""

from __future__ import annotations

from pathlib import Path

from backup.core.core import Core
from backup.queries.client import QuestionsClient
from backup.system.paths import Paths
from providers.testing.fault_proxy import FaultProxy
from providers.testing.faults import SeenRequest
from screens.modals.confirm import ConfirmScreen
from tests.cli.conftest import s3_instance, write_aws_credentials, write_config
from tests.processes import stop_worker
from tests.servers.s3_requests import list_objects
from tests.servers.s3_server import S3Server
from tests.tui.standin import screen_text, until
from tui.app import BackupConsole


def whole_listing(request: SeenRequest) -> bool:
    """Whether it lists everything below a prefix, not the single level of a pane."""
    return list_objects()(request) and not request.query.get("delimiter") and request.query.get("prefix") == "album/"


async def test_a_folder_is_listed_once_for_each_upload_download_and_deletion(
    paths: Paths, moto_s3: S3Server, moto_proxy: FaultProxy
) -> None:
    write_aws_credentials()
    bucket = moto_s3.new_bucket()
    write_config(paths, aws_s3=s3_instance(moto_s3, bucket, port=moto_proxy.port))
    album = Path.home() / "album"
    album.mkdir(parents=True)
    for number in range(3):
        (album / str(number)).write_bytes(b"x")
    app = BackupConsole(Core(paths), QuestionsClient(paths))
    try:
        async with app.run_test(size=(100, 30)) as pilot:
            await until(pilot, lambda: "Nothing is stored here yet." in screen_text(app), timeout_s=30)
            await pilot.press("down", "down", "u")
            await until(pilot, lambda: isinstance(app.screen, ConfirmScreen), timeout_s=20)
            await pilot.press("y")
            await until(pilot, lambda: len(moto_s3.keys(bucket)) == 3, timeout_s=30)
            assert moto_proxy.count(whole_listing) == 1
            await until(pilot, lambda: screen_text(app).count("album/") == 2, timeout_s=30)
            for file in album.iterdir():
                file.unlink()
            await pilot.press("tab", "home", "d")
            await until(pilot, lambda: isinstance(app.screen, ConfirmScreen), timeout_s=20)
            await pilot.press("y")
            await until(pilot, lambda: len(list(album.glob("[0-9]"))) == 3, timeout_s=30)
            assert moto_proxy.count(whole_listing) == 2
            await pilot.press("x")
            await until(pilot, lambda: isinstance(app.screen, ConfirmScreen), timeout_s=20)
            await pilot.press("y")
            await until(pilot, lambda: not moto_s3.keys(bucket), timeout_s=30)
            assert moto_proxy.count(whole_listing) == 3
    finally:
        assert stop_worker(paths)
