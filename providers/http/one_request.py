"""An object that goes up in one request: what such sessions have in common in every service over HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from providers.contract.objects import RemoteFile
from providers.contract.upload import PartReceipt, UploadRequest, UploadSession
from providers.errors import Integrity, NotFound
from providers.http.connections import Calls


class OneRequestUpload(UploadSession):
    """Whole, or not there: nothing to resume, nothing to remove. A service implements `send`, which sets `_stored`."""

    def __init__(self, request: UploadRequest) -> None:
        self.request = request
        self._calls = Calls()
        self._stored: RemoteFile | None = None
        """What the service said that it stored."""
        self._unanswered = False
        """The answer to an earlier try was lost: what was sent may stand there."""

    @property
    def token(self) -> dict[str, Any] | None:
        return None

    def confirmed(self) -> Sequence[PartReceipt]:
        return ()

    def commit(self, receipts: Sequence[PartReceipt]) -> RemoteFile:
        if self._stored is None:
            raise NotFound(f"{self.request.key}: nothing was sent")
        return self._stored

    def abort(self) -> None:
        """There is nothing that a server could hold."""

    def interrupt(self) -> None:
        self._calls.interrupt()


def agree(told: Mapping[str, str], sent: Mapping[str, str], what: str) -> None:
    """Raises Integrity when a checksum that the service told is not that of what was sent."""
    for kind in told.keys() & sent.keys():
        if told[kind] != sent[kind]:
            raise Integrity(f"{what}: {kind} at the service is {told[kind]}, of what was sent {sent[kind]}")
