"""Unfinished uploads at a service, and the items that still need them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from providers.contract.upload import PendingUpload, SavedUpload


class Unfinished(msgspec.Struct, frozen=True, kw_only=True):
    """An unfinished upload at a service, with what is known of it here."""

    upload: PendingUpload
    age_s: float | None
    """None if the service does not report when it began: such an upload never counts as old enough."""
    needed_by: int | None
    """Our item that will resume it."""


class Needed(msgspec.Struct, frozen=True, kw_only=True):
    """An upload that one of our items has begun and will resume. `token` as in `SavedUpload`."""

    item: int
    instance: str
    key: str
    token: dict[str, Any] | None

    @classmethod
    def of(cls, begun: Iterable[tuple[int, str, SavedUpload]]) -> list[Needed]:
        """From the result of `Queue.begun_uploads`."""
        return [
            cls(item=item, instance=instance, key=saved.request.key, token=saved.token)
            for item, instance, saved in begun
        ]
