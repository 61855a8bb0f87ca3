"""The guide's unit tests, for every service; CONTRIBUTING.md lists the substitutions."""

from __future__ import annotations

from providers.registry import PROVIDERS
from providers.testing.harness import Harness, Root


def test_provider_initialization(harness: Harness, root: Root) -> None:
    """Test provider initialization with valid config."""
    provider = root.connect()
    assert isinstance(provider, PROVIDERS[harness.service])
    assert provider.name == harness.service
    assert provider.test_connection() == True  # noqa: E712 - the guide's own words


def test_upload_download_cycle(root: Root) -> None:
    """Test complete upload/download cycle."""
    provider = root.connect()
    # Create test file
    test_file = root.tmp / "test_file.txt"
    test_file.write_text("test content")

    # Upload file
    success = provider.upload(test_file, "test_file.txt")
    assert success == True  # noqa: E712

    # Download file
    download_path = root.tmp / "downloaded_file.txt"
    success = provider.download("test_file.txt", download_path)
    assert success == True  # noqa: E712
    assert download_path.read_text() == "test content"
