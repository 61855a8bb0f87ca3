"""Listings are complete, paged, and in no promised order."""

from __future__ import annotations

import pytest

from backup.files.scan import IsAFolder, walk_remote
from providers.contract.cancel import CancelToken
from providers.errors import NotFound
from providers.testing.suite.objects.test_listing import *  # noqa: F403
from providers.testing.suite.objects.test_listing import TREE


def test_an_upload_to_the_name_of_a_folder_reports_the_folder(root):
    root.plant(TREE)
    provider = root.connect()
    with pytest.raises(IsAFolder, match="'a' is a folder, not a file"):
        list(walk_remote(provider, "a", CancelToken()))
    with pytest.raises(IsAFolder):
        list(walk_remote(provider, "a/deep", CancelToken()))
    with pytest.raises(NotFound) as gone:
        list(walk_remote(provider, "a/dee", CancelToken()))
    assert not isinstance(gone.value, IsAFolder)
