"""Upload of an object in one request, shared by all HTTP services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from providers.contract.objects import RemoteFile
from providers.contract.upload import PartReceipt, UploadRequest, UploadSession
from providers.errors import Integrity, NotFound
from providers.http.connections import Calls


class OneRequestUpload(UploadSession):
    """Complete or absent: nothing to resume or remove. A service implements `send`, which sets `_stored`."""

    def __init__(self, request: UploadRequest) -> None:
        self.request = request
        self._calls = Calls()
        self._stored: RemoteFile | None = None
        """The object that the service reported as stored."""
        self._unanswered = False
        """The answer to an earlier attempt was lost; it may have stored the object."""

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
        """Nothing to do: the server holds nothing."""

    def interrupt(self) -> None:
        self._calls.interrupt()


def agree(reported: Mapping[str, str], sent: Mapping[str, str], what: str) -> None:
    """Raises Integrity if a checksum reported by the service differs from that of the sent bytes."""
    for kind in reported.keys() & sent.keys():
        if reported[kind] != sent[kind]:
            raise Integrity(f"{what}: {kind} is {reported[kind]} at the service, {sent[kind]} for the sent bytes")
