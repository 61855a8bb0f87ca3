"""Unfinished uploads at a provider, ours and others', and which of them our own transfers will resume."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from backup.model.unfinished import Needed, Unfinished
from providers.contract.cancel import CancelToken
from providers.contract.upload import PendingUpload

if TYPE_CHECKING:
    from providers.base import BaseProvider

_EARLIEST_S: Final = 365 * 86_400
"""An earlier time is unknown: a missing time reads as 0."""


def find(provider: BaseProvider, instance: str, needed: list[Needed], cancel: CancelToken) -> list[Unfinished]:
    """All unfinished uploads, oldest first. Raises Unsupported if the service cannot list them."""
    uploads = provider.retry.run(provider.unfinished_uploads, cancel)
    items = _items(provider, instance, needed, cancel)
    now = time.time()
    found = [
        Unfinished(
            upload=one,
            age_s=max(0.0, now - one.started_at) if one.started_at > _EARLIEST_S else None,
            needed_by=items.get(_identity(one.token)),
        )
        for one in uploads
    ]
    return sorted(found, key=lambda one: -(one.age_s or 0.0))


def remove(
    provider: BaseProvider, instance: str, upload: PendingUpload, needed: list[Needed], cancel: CancelToken
) -> bool:
    """Remove one. False, and nothing is removed, if a transfer of ours has resumed it meanwhile."""
    if _identity(upload.token) in _items(provider, instance, needed, cancel):
        return False
    provider.retry.run(lambda: provider.discard_unfinished(upload), cancel)
    return True


def _items(provider: BaseProvider, instance: str, needed: list[Needed], cancel: CancelToken) -> dict[str, int]:
    """Items of ours that will resume an upload, by the upload's identity. If the answer to creating it was lost, it may
    be any upload of that key."""
    items: dict[str, int] = {}
    for one in needed:
        if one.token is not None:
            items[_identity(one.token)] = one.item
        elif one.instance == instance:
            for pending in provider.retry.run(partial(provider.pending_uploads, one.key), cancel):
                items[_identity(pending.token)] = one.item
    return items


def _identity(token: dict[str, Any]) -> str:
    """The upload's identity at the service, without our own notes in the token."""
    names = {key: token[key] for key in ("upload_id", "file_id", "temp") if key in token}
    return json.dumps(names or token, sort_keys=True)
