"""Telling our unfinished uploads from those of others.

Before a session is created, the unfinished uploads of its key are noted and the intent is saved. An upload found later
that was not noted began after our intent. It may be ours even if its token was lost with an answer or a process. This
trusts no server clock.

Another machine may use the same key. If the service keeps `UploadRequest.session_id`, that decides. If not (S3 reports
no metadata of unfinished uploads), an upload that holds anything but parts of our file is not ours, and an empty one is
not continued: it is removed once our upload is done, and another client that had begun it must start again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from providers.contract.cancel import CancelToken
from providers.contract.digests import digests_of_window
from providers.contract.storage import Storage
from providers.contract.upload import Checkpoint, PartReceipt, PendingUpload, SavedUpload, UploadRequest
from providers.errors import NotFound, PermissionDenied, Unsupported

if TYPE_CHECKING:
    from providers.engine.source import Source

_LOG: Final = logging.getLogger(__name__)
_BEGIN_WINDOW_S: Final = 3600.0
"""A session of this key that began later than this after our intent is not ours."""


def pending(provider: Storage, key: str, cancel: CancelToken) -> list[PendingUpload]:
    """The unfinished uploads of a key; none if these credentials may not list them."""
    try:
        return provider.retry.run(lambda: provider.pending_uploads(key), cancel)
    except (PermissionDenied, Unsupported) as error:
        _LOG.warning("unfinished uploads of %s cannot be seen: %s", key, error)
        return []


def begun_by_us(
    provider: Storage, saved: SavedUpload, cancel: CancelToken, file: Source | None = None, *, empty: bool = True
) -> list[PendingUpload]:
    """Our uploads. If the service keeps no session id: `empty` ones, and those with only parts of `file`."""
    found = pending(provider, saved.request.key, cancel)
    if saved.request.session_id and provider.tells_sessions:
        return [item for item in found if item.session_id == saved.request.session_id]
    return [item for item in found if _may_be_ours(item, saved) and _fits(file, provider, saved, item, cancel, empty)]


def strangers(before: list[PendingUpload], unanswered: SavedUpload | None) -> tuple[dict[str, Any], ...]:
    """Tokens of the uploads found `before` an intent, without those that our `unanswered` earlier intent began."""
    return tuple(item.token for item in before if unanswered is None or not _may_be_ours(item, unanswered))


def _may_be_ours(item: PendingUpload, saved: SavedUpload) -> bool:
    return item.token not in saved.strangers and item.started_at <= saved.intended_at + _BEGIN_WINDOW_S


def _fits(
    file: Source | None,
    provider: Storage,
    saved: SavedUpload,
    item: PendingUpload,
    cancel: CancelToken,
    empty: bool,
) -> bool:
    """Whether the content of an unfinished upload allows that it is ours."""
    request = saved.request
    session = provider.open_upload(request, token=item.token)
    try:
        with cancel.calling(session.interrupt):
            held = provider.retry.run(session.confirmed, cancel)
    except NotFound:
        return False
    if not held:
        return empty
    return file is not None and all(_is_part_of(file, request, receipt, cancel) for receipt in held)


def _is_part_of(file: Source, request: UploadRequest, receipt: PartReceipt, cancel: CancelToken) -> bool:
    part = request.part(receipt.index)
    if receipt.size_bytes != part.size_bytes or not receipt.digests:
        return False
    return digests_of_window(file.fd, part.offset, part.size_bytes, tuple(receipt.digests), cancel) == receipt.digests


def newest(provider: Storage, saved: SavedUpload, cancel: CancelToken, *, file: Source) -> dict[str, Any] | None:
    """The token of the newest session to continue, if any. An empty one that may be another machine's is not continued:
    it may carry the metadata of their file."""
    begun = begun_by_us(provider, saved, cancel, file, empty=False)
    return max(begun, key=lambda item: item.started_at).token if begun else None


def abandon(provider: Storage, checkpoint: Checkpoint, cancel: CancelToken) -> None:
    """Remove what an abandoned upload left at the service, and clear its checkpoint. On a ProviderError the checkpoint
    is kept."""
    saved = checkpoint.load()
    if saved is None:
        return
    if saved.token:
        _abort(provider, saved, saved.token, cancel)
    if not saved.token or saved.begun_twice:
        remove_strays(provider, saved, cancel)
    checkpoint.clear()


def remove_strays(provider: Storage, saved: SavedUpload, cancel: CancelToken) -> None:
    """Remove every session begun after this intent and still unfinished. Raises ProviderError."""
    for item in begun_by_us(provider, saved, cancel):
        _abort(provider, saved, item.token, cancel)


def _abort(provider: Storage, saved: SavedUpload, token: dict[str, Any], cancel: CancelToken) -> None:
    session = provider.open_upload(saved.request, token=token)
    with cancel.calling(session.interrupt):
        provider.retry.run(session.abort, cancel)
