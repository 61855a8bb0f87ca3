"""Unfinished uploads at a service, and what each still needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from providers.contract.upload import PendingUpload, SavedUpload


class Unfinished(msgspec.Struct, frozen=True, kw_only=True):
    """An unfinished upload at a service, and what we know of it."""

    upload: PendingUpload
    age_s: float | None
    """None where the service does not tell when it was begun: such a one is never old enough."""
    needed_by: int | None
    """The item of ours that goes on with it."""


class Needed(msgspec.Struct, frozen=True, kw_only=True):
    """An upload that one of our items has begun and goes on with. `token` as in `SavedUpload`."""

    item: int
    instance: str
    key: str
    token: dict[str, Any] | None

    @classmethod
    def of(cls, begun: Iterable[tuple[int, str, SavedUpload]]) -> list[Needed]:
        """Of what `Queue.begun_uploads` says."""
        return [
            cls(item=item, instance=instance, key=saved.request.key, token=saved.token)
            for item, instance, saved in begun
        ]
