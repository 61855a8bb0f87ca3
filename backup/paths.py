"""Every place on disk that the program reads or writes, and nothing else knows them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import platformdirs

APP_NAME: Final = "homeserver-backup"


@dataclass(frozen=True)
class Paths:
    """`config_dir` holds what the user decided, `state_dir` what the program remembers, `data_dir` the embedded local
    storage.

    `Paths.default()` follows the platform (on Linux XDG_CONFIG_HOME, XDG_STATE_HOME, XDG_DATA_HOME).
    """

    config_dir: Path
    state_dir: Path
    data_dir: Path

    @classmethod
    def default(cls) -> Paths:
        return cls(
            config_dir=Path(platformdirs.user_config_dir(APP_NAME, appauthor=False)),
            state_dir=Path(platformdirs.user_state_dir(APP_NAME, appauthor=False)),
            data_dir=Path(platformdirs.user_data_dir(APP_NAME, appauthor=False)),
        )

    @property
    def config_file(self) -> Path:
        return self.config_dir / "config.json"

    @property
    def config_lock(self) -> Path:
        """Held by whoever reads, changes and writes the configuration."""
        return self.config_dir / "config.lock"

    @property
    def journal_file(self) -> Path:
        return self.state_dir / "journal.sqlite"

    @property
    def worker_lock(self) -> Path:
        return self.state_dir / "worker.lock"

    @property
    def worker_socket(self) -> Path:
        """Relative to the state folder where the absolute path is too long for a Unix socket (107 bytes on Linux)."""
        return self.state_dir / "worker.sock"

    @property
    def logs_dir(self) -> Path:
        return self.state_dir / "logs"

    @property
    def plans_dir(self) -> Path:
        """What plans have found, until their jobs take it up (`backup.findings`)."""
        return self.state_dir / "plans"

    @property
    def local_storage(self) -> Path:
        """Where the embedded local provider keeps objects until the user names a better disk."""
        return self.data_dir / "storage"

    def environment(self) -> dict[str, str]:
        """The variables that make a child process find the same places."""
        return {
            **os.environ,
            "XDG_CONFIG_HOME": str(self.config_dir.parent),
            "XDG_STATE_HOME": str(self.state_dir.parent),
            "XDG_DATA_HOME": str(self.data_dir.parent),
        }
