"""Removal of what cancelled items left: at a service, or beside the target of a download."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from backup.journal import Journal
from backup.journal.checkpoints import CheckpointRow, UploadCheckpoint
from backup.journal.records import Cleanup
from providers.base import BaseProvider
from providers.contract.cancel import CancelToken
from providers.engine import download, unfinished
from providers.errors import NotFound

_LOG: Final = logging.getLogger(__name__)


def abandon_upload(provider: BaseProvider, journal: Journal, cleanup: Cleanup, cancel: CancelToken) -> None:
    """Remove the upload session that a cancelled item left at the service. After a ProviderError the journal still has
    its record."""
    checkpoint = UploadCheckpoint(journal, cleanup.item_id)
    try:
        unfinished.abandon(provider, checkpoint, cancel)
    except NotFound:
        _LOG.info("what item %d had left is gone already, perhaps with its container", cleanup.item_id)
    checkpoint.forget()


def discard_download(journal: Journal, cleanup: Cleanup) -> None:
    """Remove the temporary file of a cancelled download."""
    checkpoint = CheckpointRow(journal, cleanup.item_id)
    download.discard(Path(cleanup.local_path), checkpoint)
    checkpoint.forget()
