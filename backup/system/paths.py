"""All paths on disk that the program reads or writes. No other module defines one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import platformdirs

from providers.errors import InvalidConfiguration

APP_NAME: Final = "homeserver-backup"


@dataclass(frozen=True)
class Paths:
    """`config_dir` holds the user's decisions, `state_dir` the program's records, `data_dir` the embedded local
    storage.

    `Paths.default()` follows the platform (on Linux XDG_CONFIG_HOME, XDG_STATE_HOME, XDG_DATA_HOME).
    """

    config_dir: Path
    state_dir: Path
    data_dir: Path

    @classmethod
    def default(cls) -> Paths:
        """Raises InvalidConfiguration if there is no home folder for them."""
        try:
            return cls(
                config_dir=Path(platformdirs.user_config_dir(APP_NAME, appauthor=False)),
                state_dir=Path(platformdirs.user_state_dir(APP_NAME, appauthor=False)),
                data_dir=Path(platformdirs.user_data_dir(APP_NAME, appauthor=False)),
            )
        except RuntimeError:  # what platformdirs raises
            raise InvalidConfiguration(
                f"there is no home folder: HOME names none, and user {os.getuid()} is not in the list of users",
                hint="Set HOME; or XDG_CONFIG_HOME, XDG_STATE_HOME and XDG_DATA_HOME.",
            ) from None

    @classmethod
    def of_process(cls) -> Paths:
        """`default`, for a process without a caller to raise to: it ends with one line on stderr."""
        try:
            return cls.default()
        except InvalidConfiguration as error:
            raise SystemExit(f"{APP_NAME}: {error.message}. {error.hint}") from None

    @property
    def config_file(self) -> Path:
        return self.config_dir / "config.json"

    @property
    def config_lock(self) -> Path:
        """Held while the configuration is read, changed and written."""
        return self.config_dir / "config.lock"

    @property
    def journal_file(self) -> Path:
        return self.state_dir / "journal.sqlite"

    @property
    def worker_lock(self) -> Path:
        return self.state_dir / "worker.lock"

    @property
    def successor_lock(self) -> Path:
        """Held by the one process that waits for a stopped worker, to replace it or see it continue."""
        return self.state_dir / "successor.lock"

    @property
    def worker_socket(self) -> Path:
        """Reached through a descriptor of its folder if the path is too long for a Unix socket (107 bytes on Linux)."""
        return self.state_dir / "worker.sock"

    @property
    def logs_dir(self) -> Path:
        return self.state_dir / "logs"

    @property
    def plans_dir(self) -> Path:
        """The findings of plans, until their jobs use them (`backup.queries.findings`)."""
        return self.state_dir / "plans"

    @property
    def local_storage(self) -> Path:
        """The folder of the embedded local provider until the user names a better disk."""
        return self.data_dir / "storage"

    def environment(self) -> dict[str, str]:
        """The variables that make a child process use the same paths."""
        return {
            **os.environ,
            "XDG_CONFIG_HOME": str(self.config_dir.parent),
            "XDG_STATE_HOME": str(self.state_dir.parent),
            "XDG_DATA_HOME": str(self.data_dir.parent),
        }
