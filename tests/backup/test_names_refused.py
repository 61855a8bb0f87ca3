"""Names that a service cannot hold are reported in the plan, before the first byte, and cause no hours of retries."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backup.journal.records import Item
from backup.model.transfers import Conflicts, JobKind
from backup.queries import plans
from backup.worker.items import stubborn
from providers import registry
from providers.aws_s3.discovery import KeySpelling, ServerFacts
from providers.base import BaseProvider
from providers.contract.cancel import CancelToken
from providers.errors import Conflict, InvalidName, ProviderError, Transient
from providers.http.errors import with_status
from tests.backup.test_transfer import claimed
from tests.providers.memory import MemoryProvider, MemoryStore
from tests.providers.s3_stub import stub

SETTINGS: Mapping[str, dict[str, Any]] = {
    "aws_s3": {"container": "b", "access_key": "k", "secret_key": "s", "endpoint_url": "http://127.0.0.1:1"},
    "backblaze": {"container": "b", "application_key_id": "k", "application_key": "s"},
    "dropbox": {"app_key": "k", "refresh_token": "s"},
    "google_drive": {"container": "b"},
}
NOT_UTF8 = os.fsdecode(b"caf\xe9")
REFUSED = {
    "aws_s3": ["x" * 1025, NOT_UTF8, "/a", "a//b", "a/../b", "."],
    "backblaze": [
        "a\\b", "a\x1bb", "a\x7f", "x" * 251, "é" * 126, "/a", "a/", "a//b", "a/" * 600 + "b", NOT_UTF8, "..",
    ],
    "dropbox": [
        "desktop.ini", "a/Thumbs.db", ".DS_Store", "~$letter.docx", ".~lock", "~x.tmp", "Icon\r", ".dropbox",
        "a//b", "x" * 256, "cafe\u0301",
    ],
    "google_drive": [NOT_UTF8, "a//b", "a/../b", "x" * 4097],
    "local": ["x" * 256, "é" * 128, "a//b", "../a", "d/" * 2100 + "x"],
}  # fmt: skip
TAKEN = {
    "aws_s3": ["x" * 1024, "a\\b", "a\x1bb", "a/"],
    "backblaze": ["x" * 250, "a b+c", "é" * 125],
    "dropbox": ["a\\b", "x" * 255, NOT_UTF8, "desktop.ini.bak", "desktop.ini/a"],
    "google_drive": ["a\x1bb", "a\\b", "x" * 300],
    "local": ["x" * 255, NOT_UTF8, "a\\b", "a\x1bb"],
}


def provider_of(service: str, tmp_path: Path) -> BaseProvider:
    settings = SETTINGS.get(service, {"container": str(tmp_path)})
    return registry.load(service)(settings)


@pytest.mark.parametrize(("service", "name"), [(service, name) for service in REFUSED for name in REFUSED[service]])
def test_a_refused_name_is_known_without_a_request(service: str, name: str, tmp_path: Path) -> None:
    provider = provider_of(service, tmp_path)
    with pytest.raises(InvalidName):
        provider.check_name(name)
    source = tmp_path / "source"
    source.write_bytes(b"x")
    with pytest.raises(InvalidName):
        provider.upload(source, name)
    provider.close()


@pytest.mark.parametrize(("service", "name"), [(service, name) for service in TAKEN for name in TAKEN[service]])
def test_an_accepted_name_is_not_refused(service: str, name: str, tmp_path: Path) -> None:
    provider = provider_of(service, tmp_path)
    provider.check_name(name)
    provider.close()


def test_the_plan_counts_and_names_them(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("good", "a\x1bb", "c\x07d"):
        (folder / name).write_bytes(b"123")
    listing = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    with stub(lambda *_: (200, {}, listing)) as server:
        provider = server.provider()
        provider._facts = ServerFacts(listed_keys=KeySpelling.AS_THEY_ARE)
        plan = plans.upload(provider, "s3", [folder], "", Conflicts.REPLACE, CancelToken())
    assert (plan.files, plan.size_bytes, plan.unstorable) == (1, 3, 2)
    assert set(plan.unstorable_names) == {"folder/a\x1bb", "folder/c\x07d"}
    assert "cannot list" in plan.unstorable_why
    assert not plan.moves_nothing


def server_fault() -> Transient:
    return with_status(Transient("answers: InternalError", code="InternalError"), 500)


def again(failures: int, key: str = "dir/x") -> Item:
    (item,) = claimed(key)
    return msgspec.structs.replace(item, job_kind=JobKind.UPLOAD, failures=failures)


def test_a_name_that_a_healthy_service_fails_on_fails_the_item() -> None:
    healthy = MemoryProvider(MemoryStore())
    fault = server_fault()
    assert stubborn.explained(fault, again(1), healthy, CancelToken()) is fault
    found = stubborn.explained(fault, again(2), healthy, CancelToken())
    assert type(found) is ProviderError
    assert not found.retryable
    assert "dir/x: the service fails on this name every time" in found.message
    assert healthy.store.objects == {}, "the probe was left"


def test_an_item_waits_for_a_service_that_fails_for_all_names() -> None:
    class Ill(MemoryProvider):
        def open_upload(self, *args: Any, **more: Any) -> Any:
            raise server_fault()

    fault = server_fault()
    assert stubborn.explained(fault, again(5), Ill(MemoryStore()), CancelToken()) is fault
    broken = Transient("the connection broke")
    assert stubborn.explained(broken, again(9), MemoryProvider(MemoryStore()), CancelToken()) is broken


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    healthy = MemoryProvider(MemoryStore())
    source = tmp_path / "empty"
    source.write_bytes(b"")
    healthy.upload(source, "dir")
    found = stubborn.explained(server_fault(), again(2), healthy, CancelToken())
    assert isinstance(found, Conflict)
    assert "'dir' is stored as a file" in found.message
    assert "Delete 'dir'" in found.hint
