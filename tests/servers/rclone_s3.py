"""`rclone serve s3`: checks signatures, Content-MD5 and ranges; ignores conditions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.servers.process import program, server
from tests.servers.s3_server import ACCESS_KEY, SECRET_KEY, S3Server


@contextlib.contextmanager
def rclone_s3(folder: Path) -> Iterator[S3Server]:
    """A server over `folder`/data that accepts only ACCESS_KEY with SECRET_KEY."""
    data = folder / "data"
    data.mkdir(parents=True)
    argv = [
        program("rclone"), "serve", "s3", "--config", "", "--addr", "127.0.0.1:0",
        "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}", "--vfs-cache-mode", "off", str(data),
    ]  # fmt: skip
    with server(argv, says=r"http://127\.0\.0\.1:([1-9]\d*)", log=folder / "rclone.log") as port:
        started = S3Server.at("rclone", port)
        try:
            yield started
        finally:
            started.close()
