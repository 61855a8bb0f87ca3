"""Seeing that the service refuses a wrong SHA-1: what makes a proof by it more than a belief."""

from __future__ import annotations

import hashlib
import io
import logging
import secrets
from typing import Any, Final

from providers.backblaze import objects, removal
from providers.backblaze.account import Account
from providers.contract.report import PROBE_PREFIX
from providers.errors import Integrity, ProviderError

_LOG: Final = logging.getLogger(__name__)
_BODY: Final = b"homeserver-backup asks what this server checks\n"
_SHA1: Final = hashlib.sha1(_BODY, usedforsecurity=False).hexdigest()
_WRONG: Final = "0" * 40


class _Body(io.BytesIO):
    def __len__(self) -> int:
        return self.getbuffer().nbytes


class Learner:
    """Tries a file in one request and a large file, under one random name below `prefix`; nothing stays there."""

    def __init__(self, account: Account, prefix: str) -> None:
        self._account = account
        self._name = f"{prefix}{PROBE_PREFIX}learn-{secrets.token_hex(8)}"
        self._stored: list[str] = []
        """Ids of what was taken although it should not have been."""

    def sha1_enforced(self) -> bool:
        """Whether a wrong SHA-1 was refused, and for that reason, of a file, of a part, and in the list of parts.

        Raises ProviderError when it cannot be tried.
        """
        try:
            return self._file_refused() and self._parts_refused()
        finally:
            self._remove_all()

    def _file_refused(self) -> bool:
        with self._account.session() as session:
            try:
                stored = session.upload_file(
                    self._account.bucket_id, self._name, len(_BODY), objects.CONTENT_TYPE, _WRONG, {}, _Body(_BODY)
                )
            except Integrity:
                return True
            self._stored.append(str(stored["fileId"]))
        return False

    def _parts_refused(self) -> bool:
        with self._account.session() as session:
            begun = session.start_large_file(self._account.bucket_id, self._name, objects.CONTENT_TYPE, {})
            file_id = str(begun["fileId"])
            try:
                try:
                    session.upload_part(file_id, 1, len(_BODY), _WRONG, _Body(_BODY))
                except Integrity:
                    session.upload_part(file_id, 1, len(_BODY), _SHA1, _Body(_BODY))
                    return self._list_refused(session, file_id)
                return False
            finally:
                session.account_info.clear_large_file_upload_urls(file_id)

    def _list_refused(self, session: Any, file_id: str) -> bool:
        try:
            session.finish_large_file(file_id, [_WRONG])
            self._stored.append(file_id)
        except ProviderError as error:
            if error.retryable:
                raise
            return isinstance(error, Integrity)
        return False

    def _remove_all(self) -> None:
        """Also what was begun or stored by a request whose answer was lost."""
        try:
            with self._account.session() as session:
                bucket_id = self._account.bucket_id
                unfinished = session.list_unfinished_large_files(bucket_id, prefix=self._name)
                for item in unfinished["files"]:
                    if removal.tells(item, fileName=self._name) and item.get("fileId"):  # no other's
                        session.cancel_large_file(item["fileId"])
                for file_id in self._stored:
                    session.delete_file_version(file_id, self._name)
        except ProviderError as error:
            _LOG.warning("the probe %s could not be removed: %s", self._name, error)
