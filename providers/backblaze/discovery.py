"""Discovery: tests whether B2 refuses a wrong SHA-1, which a proof by SHA-1 relies on."""

from __future__ import annotations

import hashlib
import io
import logging
import secrets
from typing import Any, Final

from providers.backblaze import objects, removal
from providers.backblaze.client import Account
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
    """Probes with a single-request file and a large file under one random name below `prefix`, and deletes both."""

    def __init__(self, account: Account, prefix: str) -> None:
        self._account = account
        self._name = f"{prefix}{PROBE_PREFIX}learn-{secrets.token_hex(8)}"
        self._stored: list[str] = []
        """Ids of files that the service should have refused."""

    def sha1_enforced(self) -> bool:
        """True if a wrong SHA-1 was refused for a file, for a part, and in the list of parts.

        Raises ProviderError if the test cannot be carried out.
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
        """Also removes what a request started or stored whose answer was lost."""
        try:
            with self._account.session() as session:
                bucket_id = self._account.bucket_id
                unfinished = session.list_unfinished_large_files(bucket_id, prefix=self._name)
                for item in unfinished["files"]:
                    if removal.confirms(item, fileName=self._name) and item.get("fileId"):  # no other's
                        session.cancel_large_file(item["fileId"])
                for file_id in self._stored:
                    session.delete_file_version(file_id, self._name)
        except ProviderError as error:
            _LOG.warning("the probe %s could not be removed: %s", self._name, error)
