"""Telling an unfinished upload of ours from somebody else's.

Before a session is created, the unfinished uploads of that key are noted and the intent is saved. Whatever is found
there later and was not noted began after our intent: it is ours, although its token was lost with an answer or a
process. No clock of a server need be trusted for that.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from providers.cancel import CancelToken
from providers.errors import PermissionDenied, Unsupported
from providers.upload import Checkpoint, PendingUpload, SavedUpload

if TYPE_CHECKING:
    from providers.base import BaseProvider

_LOG: Final = logging.getLogger(__name__)
_BEGIN_WINDOW_S: Final = 3600.0
"""A session of this key that began later than this after our intent is somebody else's."""


def pending(provider: BaseProvider, key: str, cancel: CancelToken) -> list[PendingUpload]:
    """The unfinished uploads of a key; none where these credentials may not see them."""
    try:
        return provider.retry.run(lambda: provider.pending_uploads(key), cancel)
    except (PermissionDenied, Unsupported) as error:
        _LOG.warning("unfinished uploads of %s cannot be seen: %s", key, error)
        return []


def begun_by_us(provider: BaseProvider, saved: SavedUpload, cancel: CancelToken) -> list[PendingUpload]:
    return [item for item in pending(provider, saved.request.key, cancel) if _is_ours(item, saved)]


def strangers(before: list[PendingUpload], unanswered: SavedUpload | None) -> tuple[dict[str, Any], ...]:
    """The tokens of what is there `before` an intent, without what an `unanswered` earlier one of ours has begun."""
    return tuple(item.token for item in before if unanswered is None or not _is_ours(item, unanswered))


def _is_ours(item: PendingUpload, saved: SavedUpload) -> bool:
    return item.token not in saved.strangers and item.started_at <= saved.intended_at + _BEGIN_WINDOW_S


def newest(provider: BaseProvider, saved: SavedUpload, cancel: CancelToken) -> dict[str, Any] | None:
    """The token of the session to go on with, if one was begun."""
    begun = begun_by_us(provider, saved, cancel)
    return max(begun, key=lambda item: item.started_at).token if begun else None


def abandon(provider: BaseProvider, checkpoint: Checkpoint, cancel: CancelToken) -> None:
    """Remove what an upload that will not go on has left at the service, and forget it. Raises ProviderError,
    remembering."""
    saved = checkpoint.load()
    if saved is None:
        return
    if saved.token:
        _abort(provider, saved, saved.token, cancel)
    else:
        remove_strays(provider, saved, cancel)
    checkpoint.clear()


def remove_strays(provider: BaseProvider, saved: SavedUpload, cancel: CancelToken) -> None:
    """Remove every session that was begun after this intent and is still unfinished. Raises ProviderError."""
    for item in begun_by_us(provider, saved, cancel):
        _abort(provider, saved, item.token, cancel)


def _abort(provider: BaseProvider, saved: SavedUpload, token: dict[str, Any], cancel: CancelToken) -> None:
    session = provider.open_upload(saved.request, token=token)
    with cancel.calling(session.interrupt):
        provider.retry.run(session.abort, cancel)
