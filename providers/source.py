"""The file that goes up, held against itself: one that changes while it is read is never called a success."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from providers.attributes import Attributes
from providers.errors import Integrity, InvalidName
from providers.os_errors import from_os_error
from providers.upload import SourceIdentity


class Source:
    """An open file, as it was when it was opened."""

    def __init__(self, fd: int, path: Path) -> None:
        self.fd = fd
        self.path = path
        self._name = os.fspath(path)
        self.identity = self._now()
        self.attributes = Attributes.of(os.fstat(fd))

    def _now(self) -> SourceIdentity:
        found = os.fstat(self.fd)
        return SourceIdentity(size_bytes=found.st_size, mtime_ns=found.st_mtime_ns, inode=found.st_ino)

    @property
    def unchanged(self) -> bool:
        return self._now() == self.identity

    def refuse_a_change(self) -> None:
        """Raises Integrity when the file is not the one any more that was opened."""
        if not self.unchanged or self._renamed_away():
            raise Integrity(
                f"{self.path}: the file changed while it was read", hint="Send it again once nothing writes to it."
            )

    def _renamed_away(self) -> bool:
        """A file that another has replaced under the same name is not the one the user means any more."""
        try:
            found = os.stat(self._name)
        except OSError:
            return True
        return found.st_ino != self.identity.inode


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """Raises InvalidName for what is no regular file, and ProviderError when it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise from_os_error(error, path) from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise InvalidName(f"{path}: not a regular file", hint="Only regular files are uploaded.")
        yield Source(fd, path)
    finally:
        os.close(fd)
