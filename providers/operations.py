"""The guide's five operations, written once on top of `Storage`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from providers.contract.objects import RemoteFile, pages
from providers.contract.report import CheckStep, ConnectionReport
from providers.contract.storage import Storage
from providers.engine import check, download
from providers.engine import upload as upload_loop

ProgressCallback = Callable[[int, int], None]
"""Called as (bytes_done, bytes_total): absolute, never decreasing, one call at a time. First (0, total); last (total,
total), after verification."""


class Operations(Storage):
    """`upload`, `download`, `list_files`, `delete` and `test_connection`, with the signatures of the guide.

    True means done and verified; failures raise ProviderError. Only `test_connection` returns False: `probe` says
    why."""

    def upload(self, file_path: Path, remote_name: str, progress_callback: ProgressCallback | None = None) -> bool:
        """Store `file_path` as `remote_name`. Returns True once the object is visible and verified.

        Replaces an object of that name. Raises ProviderError; Integrity if the file changes while it is read.
        """
        upload_loop.run_upload(
            self, Path(file_path), remote_name, progress=progress_callback, cancel=self.context.cancel
        )
        return True

    def download(self, remote_name: str, local_path: Path, progress_callback: ProgressCallback | None = None) -> bool:
        """Fetch `remote_name` to `local_path`. Returns True once the verified file is in place; until then the target
        is untouched."""
        download.run_download(
            self, remote_name, Path(local_path), progress=progress_callback, cancel=self.context.cancel
        )
        return True

    def list_files(self, prefix: str = "", max_files: int = 1000) -> list[dict[str, Any]]:
        """Up to `max_files` objects whose name starts with `prefix`, as RemoteFile.as_dict().

        To find out whether there are more, ask for one more than needed, or page through `scan`. An error is never an
        empty list.
        """
        found: list[dict[str, Any]] = []
        for file in self.walk(prefix):
            if len(found) >= max_files:
                break
            found.append(file.as_dict())
        return found

    def delete(self, remote_name: str) -> bool:
        """Remove one object. Returns True once the service has confirmed. Raises NotFound if there is none."""
        self.retry.run(lambda: self.remove(remote_name), self.context.cancel)
        return True

    def test_connection(self) -> bool:
        """Whether all steps of `probe` pass. Never raises a ProviderError."""
        return self.probe().ok

    def probe(self, on_step: Callable[[CheckStep], None] | None = None) -> ConnectionReport:
        """Check the connection step by step; `on_step` gets each step as it ends. Leaves nothing behind at the
        service."""
        return check.run_check(self, on_step)

    def walk(self, prefix: str = "") -> Iterator[RemoteFile]:
        """All objects below `prefix`, page by page, each page retried as configured."""
        for page in pages(lambda token: self.retry.run(lambda: self.scan(prefix, token=token), self.context.cancel)):
            yield from page.files
