"""The vault's path, and its key while this process has it open. Importing this loads no cryptography."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from backup.system.paths import Paths

if TYPE_CHECKING:
    from backup.credentials.vault_file.format import DataKey


def vault_path(paths: Paths) -> Path:
    """The path of the vault: beside the configuration, in a folder that only the user can enter."""
    return paths.config_dir / "vault.json"


class Unlocked:
    """The data key of an unlocked vault, until it is locked or the process ends. Safe from any thread."""

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
    """The state shared by all backends of this process for one vault: keyring may create new backends at any time."""
    with _registry_lock:
        return _unlocked.setdefault(path.absolute(), Unlocked())
