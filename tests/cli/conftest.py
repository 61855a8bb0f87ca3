"""Command lines for tests: in this process if that is enough, else in a process of their own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backup.cli.main import run
from backup.cli.session import Session
from backup.system.paths import Paths
from tests.servers.s3_server import ACCESS_KEY, REGION, SECRET_KEY, S3Server

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Result]


@pytest.fixture
def cli(paths: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command line in this process; `stdin` is piped in."""

    def call(*argv: str, stdin: str = "") -> Result:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        code = run(argv, "homeserver-backup", Session(paths))
        captured = capsys.readouterr()
        return Result(int(code), captured.out, captured.err)

    return call


@pytest.fixture
def program(paths: Paths) -> Cli:
    """Run a command line in a process of its own, with the folders of `paths`."""

    def call(*argv: str, stdin: str = "", environment: dict[str, str] | None = None) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "backup", *argv],
            input=stdin,
            text=True,
            capture_output=True,
            timeout=60,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return call


def write_config(paths: Paths, **providers: dict[str, Any]) -> None:
    paths.config_dir.mkdir(parents=True, exist_ok=True)
    paths.config_file.write_text(json.dumps({"version": 1, "providers": providers}))


@pytest.fixture
def aws_credentials(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers' key in AWS's own credentials file, so that the test needs no keyring."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    write_aws_credentials()


def write_aws_credentials(secret: str = SECRET_KEY) -> None:
    """Write the key into the home of the test."""
    folder = Path.home() / ".aws"
    folder.mkdir(parents=True, exist_ok=True)
    lines = ("[default]", f"aws_access_key_id = {ACCESS_KEY}", f"aws_secret_access_key = {secret}")
    (folder / "credentials").write_text("\n".join(lines))


def s3_instance(server: S3Server, bucket: str, *, port: int | None = None, **more: Any) -> dict[str, Any]:
    """The configuration of an instance on a test server, with a short timeout and no retries."""
    return {
        "type": "aws_s3",
        "container": bucket,
        "endpoint_url": f"http://127.0.0.1:{port or server.port}",
        "region": REGION,
        "enabled": True,
        "max_retries": 0,
        "timeout": 2,
        **more,
    }
