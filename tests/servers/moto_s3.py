"""moto's S3: supports conditions, CRC64NVME and versions; does not check signatures."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.servers.process import program, server
from tests.servers.s3_server import S3Server


@contextlib.contextmanager
def moto_s3(folder: Path) -> Iterator[S3Server]:
    """A server that keeps all data in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    argv = [program("moto_server"), "-H", "127.0.0.1", "-p", "0"]
    environment = {"PYTHONUNBUFFERED": "1"}
    with server(argv, says=r"http://127\.0\.0\.1:([1-9]\d*)", log=folder / "moto.log", environment=environment) as port:
        started = S3Server.at("moto", port)
        try:
            yield started
        finally:
            started.close()
