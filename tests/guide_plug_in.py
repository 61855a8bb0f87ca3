"""A plug-in in the style of the guide, installed the way pip does it: a module, and an entry point beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from providers import registry

SOURCE = '''
"""Acme storage, written after the guide and nothing else."""
import shutil
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from providers.base import BaseProvider


class AcmeProvider(BaseProvider):
    """Acme storage provider implementation."""

    not_applicable = {
        "container_type", "username", "password", "api_key", "secret_key", "region", "timeout", "max_bandwidth",
        "upload_chunk_size",
    }

    def __init__(self, config: Dict[str, Any]):
        super().__init__(config)
        self.root = Path(self.config["container"])
        self._initialize_service()

    def _initialize_service(self):
        self.attempts = self.max_retries

    def upload(self, file_path: Path, remote_name: str, progress_callback: Optional[Callable] = None) -> bool:
        if "refused" in remote_name:
            self.logger.error("Upload failed")
            return False
        size = file_path.stat().st_size
        if progress_callback:
            progress_callback(0, size)
        target = self.root / remote_name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file_path, target)
        if "damaged" in remote_name:
            target.write_bytes(b"x" * size)
        if progress_callback:
            progress_callback(size, size)
        return True

    def download(self, remote_name: str, local_path: Path, progress_callback: Optional[Callable] = None) -> bool:
        shutil.copyfile(self.root / remote_name, local_path)
        return True

    def list_files(self, prefix: str = "", max_files: int = 1000) -> List[Dict[str, Any]]:
        found = []
        for path in self.root.rglob("*"):
            name = str(path.relative_to(self.root))
            if path.is_file() and name.startswith(prefix) and len(found) < max_files:
                try:
                    status = path.stat()
                except FileNotFoundError:
                    continue  # deleted meanwhile
                found.append({"name": name, "size": status.st_size, "modified": status.st_mtime})
        return found

    def delete(self, remote_name: str) -> bool:
        try:
            (self.root / remote_name).unlink()
            return True
        except OSError:
            return False

    def test_connection(self) -> bool:
        return self.root.is_dir()
'''


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Installs the plug-in `acme`, for this process and its children; the folder in which it keeps things."""
    site = tmp_path / "site"
    info = site / "acme_storage-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "acme_storage.py").write_text(SOURCE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-storage\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[homeserver_backup.providers]\nacme = acme_storage:AcmeProvider\n")
    before = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", f"{site}{os.pathsep}{before}" if before else str(site))
    monkeypatch.syspath_prepend(site)
    registry._plug_ins.cache_clear()
    kept = tmp_path / "acme"
    kept.mkdir()
    yield kept
    registry._plug_ins.cache_clear()
    registry._failures.clear()
    import sys

    sys.modules.pop("acme_storage", None)
