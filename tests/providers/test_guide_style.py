"""A plug-in class with only the guide's five methods: verified, listed and used in every way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from providers import registry
from providers.contract.cancel import CancelToken
from providers.contract.capabilities import Proof
from providers.engine.download import run_download
from providers.engine.upload import run_upload
from providers.errors import Integrity, NotFound, ProviderError
from providers.registry import PROVIDERS


@pytest.fixture
def provider(acme: Path):
    return PROVIDERS["acme"]({"container": str(acme), "max_retries": 0})


def write(path: Path, size: int = 100_000) -> Path:
    path.write_bytes(os.urandom(size))
    return path


def test_the_class_is_listed_with_its_capabilities(acme: Path, provider):
    assert [spec.name for spec in registry.specs()] == [*registry.EMBEDDED, "acme"]
    assert provider.name == "acme"
    assert provider.five.attempts == 0
    assert not provider.capabilities.resumable_uploads
    assert provider.config["upload_chunk_size"] == 104857600
    assert provider.config["api_key"] == ""


def test_the_upload_and_download_cycle_of_the_guide_works(acme: Path, provider, tmp_path: Path):
    source = write(tmp_path / "file")
    calls: list[tuple[int, int]] = []
    assert provider.test_connection() is True
    assert provider.upload(source, "a/file", lambda done, total: calls.append((done, total))) is True
    assert (calls[0], calls[-1]) == ((0, 100_000), (100_000, 100_000))
    assert calls == sorted(set(calls))
    assert provider.download("a/file", tmp_path / "back") is True
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    assert [item["name"] for item in provider.list_files("a/")] == ["a/file"]
    assert provider.delete("a/file") is True


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_the_loops_prove_an_upload_by_reading_it_back(acme: Path, provider, tmp_path: Path, size: int):
    source = write(tmp_path / "file", size)
    calls: list[tuple[int, int]] = []
    result = run_upload(provider, source, "x/y", progress=lambda *at: calls.append(at), cancel=CancelToken())
    assert result.proof is Proof.READ_BACK
    assert (calls[0], calls[-1]) == ((0, size), (size, size))
    assert calls == sorted(calls)
    fetched = run_download(provider, "x/y", tmp_path / "back", cancel=CancelToken(), expected_sha256=result.sha256)
    assert fetched.sha256 == result.sha256
    assert (tmp_path / "back").read_bytes() == source.read_bytes()


def test_false_from_the_class_is_an_error(acme: Path, provider, tmp_path: Path):
    with pytest.raises(ProviderError, match="upload of acme failed without a reason"):
        run_upload(provider, write(tmp_path / "file"), "refused", cancel=CancelToken())
    assert not list(acme.iterdir())


def test_true_from_the_class_is_not_trusted(acme: Path, provider, tmp_path: Path):
    with pytest.raises(Integrity):
        run_upload(provider, write(tmp_path / "file"), "damaged", cancel=CancelToken())


def test_a_missing_object_is_not_found(acme: Path, provider, tmp_path: Path):
    with pytest.raises(NotFound):
        provider.stat("nothing")
    with pytest.raises(NotFound):
        provider.remove("nothing")
    with pytest.raises(NotFound):
        run_download(provider, "nothing", tmp_path / "back", cancel=CancelToken())


def test_the_listing_has_pages_and_folders(acme: Path, provider):
    for number in range(1205):
        (acme / f"{number:04}").write_bytes(b"1")
    (acme / "sub").mkdir()
    (acme / "sub" / "file").write_bytes(b"22")
    first = provider.scan("", delimiter="/", limit=1000)
    second = provider.scan("", delimiter="/", limit=1000, token=first.next_token)
    assert len(first.files) == 1000
    assert (len(second.files), second.prefixes, second.next_token) == (205, ("sub/",), None)


def test_all_five_steps_of_the_check_pass(acme: Path, provider):
    report = provider.probe()
    assert report.ok, report.failure
    assert not list(acme.iterdir())


def test_a_failing_connection_is_reported(acme: Path, provider):
    acme.rmdir()
    failure = provider.probe().failure
    assert failure is not None
    assert "test_connection" in failure.message


def test_a_class_without_a_base_class_is_accepted(monkeypatch: pytest.MonkeyPatch):
    from providers.base import adapted
    from providers.guide.adapter import is_guide_style

    class Plain:
        def __init__(self, config):
            self.given = config

        def upload(self, file_path, remote_name, progress_callback=None):
            raise ConnectionResetError("canary-secret")

        def download(self, remote_name, local_path, progress_callback=None):
            return False

        def list_files(self, prefix="", max_files=1000):
            return [{"nothing": "useful"}]

        def delete(self, remote_name):
            return False

        def test_connection(self):
            return False

    assert is_guide_style(Plain)
    made: Any = adapted(Plain, "plain")({"container": "c", "password": "secret-text"})
    assert made.five.given["password"] == "secret-text"
    with pytest.raises(ProviderError, match="without name"):
        made.scan()
    with pytest.raises(ProviderError) as caught:
        made._asked("upload", lambda: made.five.upload(None, "x"))
    assert "canary" not in str(caught.value)
