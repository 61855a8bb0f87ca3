"""Where this program keeps its vault, and whether this process has it open. Importing this loads no cryptography."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from backup.system.paths import Paths

if TYPE_CHECKING:
    from backup.credentials.vault_file.format import DataKey


def vault_path(paths: Paths) -> Path:
    """Beside the configuration, in a folder that only the user can enter."""
    return paths.config_dir / "vault.json"


class Unlocked:
    """The data key of an unlocked vault, for as long as the process lives or until it is locked. Safe from any
    thread.
    """

    def __init__(self) -> None:
        self._key: DataKey | None = None

    @property
    def key(self) -> DataKey | None:
        return self._key

    def put(self, key: DataKey) -> None:
        self._key = key

    def lock(self) -> None:
        self._key = None

    def __bool__(self) -> bool:
        return self._key is not None

    def __repr__(self) -> str:
        return f"Unlocked({'open' if self else 'locked'})"


_unlocked: Final[dict[Path, Unlocked]] = {}
_registry_lock: Final = threading.Lock()


def unlocked_here(path: Path) -> Unlocked:
    """What all backends of this process share for one vault: keyring makes a new backend whenever it likes."""
    with _registry_lock:
        return _unlocked.setdefault(path.absolute(), Unlocked())
