"""Test servers as fixtures: one of each per pytest process, started on first use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from providers.testing.fault_proxy import FaultProxy
from tests.servers.b2 import B2Server
from tests.servers.b2 import b2_server as run_b2
from tests.servers.moto_s3 import moto_s3 as run_moto
from tests.servers.rclone_s3 import rclone_s3 as run_rclone
from tests.servers.s3_server import S3Server


@pytest.fixture(scope="session")
def rclone_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with run_rclone(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture(scope="session")
def moto_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with run_moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def b2_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[B2Server]:
    with run_b2(tmp_path_factory.mktemp("b2")) as server:
        yield server


@pytest.fixture
def rclone_proxy(rclone_s3: S3Server) -> Iterator[FaultProxy]:
    """A fault proxy in front of rclone's S3, for this test only."""
    with FaultProxy(rclone_s3.port) as proxy:
        yield proxy


@pytest.fixture
def moto_proxy(moto_s3: S3Server) -> Iterator[FaultProxy]:
    with FaultProxy(moto_s3.port) as proxy:
        yield proxy
