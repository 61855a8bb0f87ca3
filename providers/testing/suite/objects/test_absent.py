"""A missing object or container is NotFound: never an empty answer, never a success."""

from __future__ import annotations

import pytest

from providers.contract.upload import UploadRequest
from providers.errors import NotFound, ProviderError
from providers.testing.harness import Harness, Root
from providers.testing.needs import needs, resumes
from providers.testing.support import content, gone, source
from providers.testing.transfers import download, keys, read, upload


def test_a_missing_object_is_not_found(root: Root) -> None:
    provider = root.connect()
    for ask in (provider.stat, provider.delete, lambda key: read(provider, key, 0, 10)):
        with pytest.raises(NotFound):
            ask("folder/absent.bin")


def test_a_download_of_a_missing_object_leaves_the_target_untouched(root: Root) -> None:
    target = root.tmp / "target.bin"
    target.write_bytes(b"mine")
    with pytest.raises(NotFound):
        download(root.connect(), "absent", target)
    assert target.read_bytes() == b"mine"
    assert gone(root.tmp, but=("target.bin",)) == []


def test_a_prefix_with_nothing_below_it_is_an_empty_page(root: Root) -> None:
    provider = root.connect()
    page = provider.scan("no/such/folder/")
    assert (page.files, page.prefixes, page.next_token) == ((), (), None)
    assert provider.list_files("no/such/folder/") == []
    assert keys(provider) == set()


def test_a_missing_container_is_never_an_empty_listing(harness: Harness, root: Root) -> None:
    provider = root.connect(**harness.missing_container)
    path = source(root.tmp, content(1000))
    for ask in (
        provider.list_files,
        provider.scan,
        provider.check_container,
        lambda: upload(provider, path, "x"),
        lambda: download(provider, "x", root.tmp / "target"),
        lambda: provider.delete("x"),
    ):
        with pytest.raises(ProviderError) as caught:
            ask()
        assert type(caught.value) is harness.limits.tells_missing


@needs(resumes)
def test_a_session_the_service_forgot_is_not_found(harness: Harness, root: Root) -> None:
    part = harness.limits.part_bytes
    provider = root.connect()
    session = provider.open_upload(UploadRequest(key="x", size_bytes=3 * part, part_size_bytes=part))
    root.expire()
    with pytest.raises(NotFound):
        root.connect().open_upload(session.request, token=session.token).confirmed()
    session.abort()
    session.abort()
