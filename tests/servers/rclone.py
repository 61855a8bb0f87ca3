"""rclone as an independent check of our own servers and of the data that the product stores."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.servers.process import program


@dataclass(frozen=True)
class Rclone:
    """Runs rclone with one remote, made only of `settings`. Reads no configuration of the user."""

    remote: str
    settings: Mapping[str, str]
    home: Path
    flags: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *args: str, fails: bool = False) -> str:
        """Output of the command. AssertionError with its messages if it fails, or, with `fails`, if it succeeds."""
        settings = {
            f"RCLONE_CONFIG_{self.remote.upper()}_{name.upper()}": value for name, value in self.settings.items()
        }
        done = subprocess.run(
            [program("rclone"), "--config", "", "--retries", "1", "--low-level-retries", "1", *self.flags, *args],
            env={**os.environ, "HOME": str(self.home), **settings, **self.environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode != 0) is fails, f"rclone {' '.join(args)}: {done.stderr}"
        return done.stdout

    def path(self, path: str) -> str:
        return f"{self.remote}:{path}"

    def listed(self, path: str, *flags: str) -> dict[str, Any]:
        """Entries below `path` by name, from `rclone lsjson`."""
        found = json.loads(self.run("lsjson", "-R", "--hash", *flags, self.path(path)))
        return {item["Path"]: item for item in found}
