"""The object stored under a key, compared with the file that was sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from providers.contract.cancel import CancelToken
from providers.contract.capabilities import Proof
from providers.contract.digests import LocalDigests
from providers.contract.objects import RemoteFile
from providers.contract.storage import Storage
from providers.contract.upload import PartReceipt, UploadSession
from providers.engine import proof
from providers.errors import Cancelled, Conflict, Integrity, NotFound, ProviderError

_OLDER = {
    True: "The older object has been replaced.",
    False: "There was no object of that name before.",
    None: "It is not known whether an older object was replaced.",
}


def look(provider: Storage, key: str) -> RemoteFile | None:
    """The object, or None. One attempt. Raises ProviderError."""
    try:
        return provider.stat(key)
    except NotFound:
        return None


def proved(provider: Storage, remote: RemoteFile, local: LocalDigests, cancel: CancelToken) -> Proof | None:
    """The proof reached if the object is provably this file, None if it is another. Raises ProviderError."""
    try:
        return proof.prove_upload(provider, remote, local, cancel)
    except Integrity:
        return None


def commit(
    provider: Storage,
    session: UploadSession,
    receipts: Sequence[PartReceipt],
    local: LocalDigests,
    cancel: CancelToken,
) -> RemoteFile:
    """Commit the session. If the answer may have been lost, checks whether the commit took effect.

    Raises ProviderError; a retryable one may be repeated.
    """
    try:
        return session.commit(receipts)
    except (Cancelled, Integrity):
        raise
    except ProviderError as error:
        if error.retryable or isinstance(error, (NotFound, Conflict)):
            found = _took_effect(provider, session, receipts, local, cancel)
            if found is not None:
                return found
        raise


def _took_effect(
    provider: Storage,
    session: UploadSession,
    receipts: Sequence[PartReceipt],
    local: LocalDigests,
    cancel: CancelToken,
) -> RemoteFile | None:
    """The object, if the one under the key provably consists of these parts. Also ends the session."""
    if not receipts:
        return None
    with suppress(ProviderError):
        remote = provider.stat(session.request.key)
        if proof.compare_stored(provider, remote, local) or proof.read_digest(provider, remote, cancel) == local.sha256:
            session.abort()
            return remote
    return None


def prove(
    provider: Storage,
    remote: RemoteFile,
    local: LocalDigests,
    cancel: CancelToken,
    *,
    replaced: bool | None,
    on_failure: Callable[[], None],
) -> Proof:
    """Prove the upload; an Integrity error says what happened to an older object."""
    try:
        return proof.prove_upload(provider, remote, local, cancel)
    except Integrity as error:
        on_failure()
        raise Integrity(
            f"{error.message}. {_OLDER[replaced]}", hint=error.hint, remedies=error.remedies, code=error.code
        ) from None
