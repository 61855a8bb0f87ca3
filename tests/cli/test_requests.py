"""The number of requests of a command, since services charge for requests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.system.paths import Paths
from providers.testing.fault_proxy import FaultProxy
from providers.testing.faults import SeenRequest
from tests.cli.conftest import Cli, s3_instance, write_config
from tests.processes import stop_worker
from tests.servers.s3_requests import list_objects
from tests.servers.s3_server import S3Server


@pytest.fixture(autouse=True)
def _worker_stopped(paths: Paths) -> Iterator[None]:
    yield
    assert stop_worker(paths)


def listing_of_the_folder(request: SeenRequest) -> bool:
    """True for a listing of the folder, not of the object used once to discover how the server lists."""
    return list_objects()(request) and request.query.get("prefix") == "d/"


@pytest.mark.usefixtures("aws_credentials")
def test_a_folder_is_listed_once_for_each_command(
    cli: Cli, paths: Paths, moto_s3: S3Server, moto_proxy: FaultProxy, tmp_path: Path
) -> None:
    bucket = moto_s3.new_bucket()
    write_config(paths, aws_s3=s3_instance(moto_s3, bucket, port=moto_proxy.port))
    folder = tmp_path / "d"
    folder.mkdir()
    for number in range(3):
        (folder / str(number)).write_bytes(b"x")
    commands = (["upload", str(folder)], ["download", "d/", "--to", f"{tmp_path}/back/"], ["delete", "d/", "--yes"])
    for command in commands:
        moto_proxy.forget()
        done = cli(*command)
        assert done.code == 0, done.err
        assert moto_proxy.count(listing_of_the_folder) == 1, command
    assert {path.name for path in (tmp_path / "back" / "d").iterdir()} == {"0", "1", "2"}
    assert moto_s3.keys(bucket) == set()
