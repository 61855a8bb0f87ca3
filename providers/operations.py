"""The five operations of the guide, written once over what an adapter implements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from providers.contract.objects import RemoteFile
from providers.contract.report import CheckStep, ConnectionReport
from providers.contract.storage import Storage
from providers.engine import check, download
from providers.engine import upload as upload_loop

ProgressCallback = Callable[[int, int], None]
"""Called as (bytes_done, bytes_total): absolute, never decreasing, one call at a time, first (0, total), last (total,
total) after verification."""


class Operations(Storage):
    """The five operations `upload`, `download`, `list_files`, `delete` and `test_connection` keep the signatures of the
    guide. True means done and verified; whatever fails raises a ProviderError (`test_connection` alone answers False,
    and `probe` says why)."""

    def upload(self, file_path: Path, remote_name: str, progress_callback: ProgressCallback | None = None) -> bool:
        """Store `file_path` as `remote_name`. True once the object is visible and proved; raises ProviderError
        otherwise.

        An object of that name is replaced. A file that changes while it is read is Integrity, never success.
        """
        upload_loop.run_upload(
            self, Path(file_path), remote_name, progress=progress_callback, cancel=self.context.cancel
        )
        return True

    def download(self, remote_name: str, local_path: Path, progress_callback: ProgressCallback | None = None) -> bool:
        """Fetch `remote_name` to `local_path`. True once the verified file stands there; until then the target is
        untouched."""
        download.run_download(
            self, remote_name, Path(local_path), progress=progress_callback, cancel=self.context.cancel
        )
        return True

    def list_files(self, prefix: str = "", max_files: int = 1000) -> list[dict[str, Any]]:
        """Up to `max_files` objects whose name starts with `prefix`, as RemoteFile.as_dict().

        To learn whether there were more, ask for one more than needed, or page through `scan`. An error is never an
        empty list.
        """
        found: list[dict[str, Any]] = []
        for file in self.walk(prefix):
            if len(found) >= max_files:
                break
            found.append(file.as_dict())
        return found

    def delete(self, remote_name: str) -> bool:
        """Remove one object. True once the service confirmed; NotFound when there was none."""
        self.retry.run(lambda: self.remove(remote_name), self.context.cancel)
        return True

    def test_connection(self) -> bool:
        """Whether all steps of `probe` pass. Never raises a ProviderError."""
        return self.probe().ok

    def probe(self, on_step: Callable[[CheckStep], None] | None = None) -> ConnectionReport:
        """Check the connection step by step; `on_step` is told of each as it ends. Leaves nothing behind at the
        service."""
        return check.run_check(self, on_step)

    def walk(self, prefix: str = "") -> Iterator[RemoteFile]:
        """All objects below `prefix`, page by page, retrying each page as the settings say."""
        token: str | None = None
        while True:
            page = self.retry.run(lambda at=token: self.scan(prefix, token=at), self.context.cancel)  # type: ignore[misc]
            yield from page.files
            token = page.next_token
            if token is None:
                return
