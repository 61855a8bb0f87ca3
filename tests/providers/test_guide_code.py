"""The code of the owner's guide, executed: its class completed for a real service, and its unit tests.

CONTRIBUTING.md lists the substitutions ("The guide's own code").
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from providers import settings
from providers.base import adapted
from providers.errors import Integrity, InvalidConfiguration, NotFound
from providers.guide.adapter import FIVE
from providers.guide.settings import settings_of
from tests.servers.s3_server import S3Server

SOURCE = '''
"""
New Provider Implementation
Copyright (C) 2024 HOMESERVER LLC

Provider for S3 storage.
"""

import time
from typing import List, Dict, Any, Optional, Callable
from pathlib import Path
import boto3
from botocore.exceptions import ClientError as ServiceAPIError
from botocore.exceptions import ConnectionError as ServiceConnectionError
from providers.base import BaseProvider

class NewProvider(BaseProvider):
    """S3 provider implementation."""

    def __init__(self, config: Dict[str, Any]):
        super().__init__(config)
        # Initialize service-specific configuration
        self._initialize_service()

    def _initialize_service(self):
        self.configured = self._validate_config()
        self.service = boto3.client(
            "s3", endpoint_url=ENDPOINT, region_name="us-east-1",
            aws_access_key_id=self.config['api_key'], aws_secret_access_key=self.config['secret_key'],
        )
        self.bucket = self.config['bucket_name']

    def _validate_config(self) -> bool:
        """Validate service-specific configuration."""
        required_fields = ['api_key', 'bucket_name']
        for field in required_fields:
            if not self.config.get(field):
                self.logger.error(f"Missing required field: {field}")
                return False
        return True

    def _upload_with_retry(self, file_path: Path, remote_name: str) -> bool:
        """Upload with retry logic."""
        for attempt in range(self.max_retries):
            try:
                self.service.put_object(Bucket=self.bucket, Key=remote_name, Body=file_path.read_bytes())
                return True
            except ServiceConnectionError as e:
                if attempt < self.max_retries - 1:
                    time.sleep(self.retry_delay * (2 ** attempt))
                else:
                    self.logger.error(f"Upload failed after {self.max_retries} attempts")
                    return False
            except ServiceAPIError as e:
                self.logger.error(f"API error: {e}")
                return False

    def upload(self, file_path: Path, remote_name: str, progress_callback: Optional[Callable] = None) -> bool:
        """Upload with progress tracking."""
        if progress_callback:
            progress_callback(0, file_path.stat().st_size)

        if not self._upload_with_retry(file_path, remote_name):
            return False

        if progress_callback:
            progress_callback(file_path.stat().st_size, file_path.stat().st_size)

        return True

    def download(self, remote_name: str, local_path: Path, progress_callback: Optional[Callable] = None) -> bool:
        """Download file from service."""
        self.service.download_file(self.bucket, remote_name, str(local_path))
        return True

    def list_files(self, prefix: str = "", max_files: int = 1000) -> List[Dict[str, Any]]:
        """List files in service storage."""
        files = []
        for page in self.service.get_paginator('list_objects_v2').paginate(Bucket=self.bucket, Prefix=prefix):
            for item in page.get('Contents', []):
                if len(files) >= max_files:
                    break
                files.append({'name': item['Key'], 'size': item['Size']})
        return files

    def delete(self, remote_name: str) -> bool:
        """Delete file from service."""
        self.service.delete_object(Bucket=self.bucket, Key=remote_name)
        return True

    def test_connection(self) -> bool:
        """Test connection to service."""
        try:
            self.service.head_bucket(Bucket=self.bucket)
            return True
        except ServiceAPIError:
            return False
'''


@pytest.fixture
def NewProvider(moto_s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The guide's class, in a module with its source, and a server with its bucket."""
    moto_s3.admin.create_bucket(Bucket="test-bucket")
    module = types.ModuleType("new_provider")
    module.__dict__["ENDPOINT"] = moto_s3.url
    module.__dict__["__loader__"] = types.SimpleNamespace(get_source=lambda name: SOURCE)
    monkeypatch.setitem(sys.modules, "new_provider", module)
    exec(compile(SOURCE, "new_provider.py", "exec"), module.__dict__)
    yield module.__dict__["NewProvider"]
    for item in moto_s3.admin.list_objects_v2(Bucket="test-bucket").get("Contents", []):
        moto_s3.admin.delete_object(Bucket="test-bucket", Key=item["Key"])
    moto_s3.admin.delete_bucket(Bucket="test-bucket")


@pytest.fixture
def provider(NewProvider: Callable[..., Any]) -> Any:
    return NewProvider({"api_key": "test_key", "secret_key": "test_secret", "bucket_name": "test-bucket"})


def test_provider_initialization(NewProvider):
    """Test provider initialization with valid config."""
    config = {
        'api_key': 'test_key',
        'secret_key': 'test_secret',
        'bucket_name': 'test-bucket'
    }  # fmt: skip
    provider = NewProvider(config)
    assert provider.name == 'new'  # fmt: skip
    assert provider.test_connection() == True  # noqa: E712 - the guide's own words


def test_upload_download_cycle(provider, tmp_path):
    """Test complete upload/download cycle."""
    # Create test file
    test_file = tmp_path / "test_file.txt"
    test_file.write_text('test content')  # fmt: skip

    # Upload file
    success = provider.upload(test_file, 'test_file.txt')  # fmt: skip
    assert success == True  # noqa: E712

    # Download file
    download_path = tmp_path / "downloaded_file.txt"
    success = provider.download('test_file.txt', download_path)  # fmt: skip
    assert success == True  # noqa: E712
    assert download_path.read_text() == 'test content'  # fmt: skip


def test_the_adapter_keeps_promises_the_class_does_not(provider, tmp_path: Path):
    """The five methods keep the contract although the class does not: no False, no unverified success."""
    with pytest.raises(NotFound):
        provider.delete("nothing")
    with pytest.raises(NotFound):
        provider.download("nothing", tmp_path / "target")
    file = tmp_path / "file"
    file.write_text("right")
    own = provider.five.service.put_object
    provider.five.service.put_object = lambda Body, **rest: own(Body=b"wrong", **rest)
    with pytest.raises(Integrity):
        provider.upload(file, "file")


def test_a_failing_connection_is_not_an_empty_listing(NewProvider):
    gone = NewProvider({"api_key": "k", "secret_key": "s", "bucket_name": "no-such-bucket", "max_retries": 0})
    assert gone.test_connection() is False
    with pytest.raises(Exception, match="list_files failed"):
        gone.list_files()


def test_every_standard_setting_not_declared_unused_is_offered(NewProvider):
    """Nothing is guessed from its source: a setting the class reads in any way is never refused."""
    offered = {field.name for field in settings.describe(settings_of(NewProvider))}
    assert {"api_key", "secret_key", "container", "region", "max_bandwidth", "upload_chunk_size"} <= offered
    given = {"api_key": "k", "secret_key": "s", "bucket_name": "b", "max_bandwidth": 1_000_000, "region": "eu"}
    assert NewProvider(given).config["max_bandwidth"] == 1_000_000
    mapped = NewProvider({"username": "the key", "password": "the secret", "bucket_name": "b"})
    assert (mapped.config["api_key"], mapped.config["secret_key"]) == ("the key", "the secret")


def plug_in(**attributes: Any) -> type:
    five = {name: lambda self, *args: True for name in FIVE}
    return type("Declaring", (), {"__init__": lambda self, config: None, **five, **attributes})


def test_a_setting_declared_unused_is_hidden_and_refused() -> None:
    made: Any = adapted(plug_in(not_applicable=("max_bandwidth", "region")), "declaring")
    assert {"max_bandwidth", "region"}.isdisjoint(field.name for field in settings.describe(made.Settings))
    with pytest.raises(InvalidConfiguration, match="max_bandwidth: has no effect"):
        made({"container": "c", "max_bandwidth": 1})


def test_a_setting_read_by_a_computed_name_is_accepted() -> None:
    """A search of its source would have refused this setting, although the class reads it."""

    class Computed:
        def __init__(self, config: dict[str, Any]) -> None:
            self.limit = config["_".join(("max", "bandwidth"))]

        upload = download = list_files = delete = test_connection = lambda self, *args: True

    assert adapted(Computed, "computed")({"container": "c", "max_bandwidth": 5000}).five.limit == 5000  # type: ignore[attr-defined]


def test_the_credential_pair_is_declared_or_derived_from_unused_settings() -> None:
    assert settings_of(plug_in()).credential_pair is None
    assert settings_of(plug_in(credential_pair=("api_key", "secret_key"))).credential_pair == ("api_key", "secret_key")
    keys = settings_of(plug_in(not_applicable={"username", "password"}))
    assert keys.credential_pair == ("api_key", "secret_key")


@pytest.mark.parametrize(
    "wrong", [{"not_applicable": ["max_bandwith"]}, {"not_applicable": "region"}, {"credential_pair": ["a", "b"]}]
)
def test_a_wrong_declaration_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfiguration, match=next(iter(wrong))):
        settings_of(plug_in(**wrong))
