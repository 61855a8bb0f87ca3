"""Offers of the set-up flow if the container belongs to others, or if another server answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from backup.model.instances import ServiceInfo
from providers import registry
from providers.contract.report import ConnectionReport, StepName
from providers.engine.check import run_check
from providers.errors import PermissionDenied
from screens.modals.setup.draft import SetupDraft
from tests.providers.s3_stub import Answer, error, stub

SECRET = "secret-of-the-test"
SETTINGS: dict[str, Callable[[str], dict[str, Any]]] = {
    "aws_s3": lambda url: {"endpoint_url": url, "container": "b", "access_key": "A", "secret_key": SECRET,
                           "region": "us-east-1"},
    "backblaze": lambda url: {"realm": url, "container": "b", "application_key_id": "A", "application_key": SECRET},
    "dropbox": lambda url: {"endpoint_url": url, "container": "/b", "app_key": "A", "refresh_token": SECRET},
    "google_drive": lambda url: {"endpoint_url": url, "container": "b", "client_id": "A", "client_secret": SECRET,
                                 "refresh_token": SECRET},
}  # fmt: skip


def checked(service: str, answer: Callable[..., Answer], **more: Any) -> ConnectionReport:
    with stub(answer) as server:
        values = SETTINGS[service](f"http://127.0.0.1:{server.port}")
        provider = registry.load(service)({**values, "timeout": 5, "max_retries": 0, **more})
        try:
            return run_check(provider)
        finally:
            provider.close()


def offers(report: ConnectionReport) -> set[str]:
    """The offers of the console after such a check."""
    bridge: Any = None
    service = ServiceInfo(name="x", title="X", summary="", fields=(), container_word="container")
    draft = SetupDraft(bridge, service, None, report=report)
    return {action for action in ("keep", "create", "choose") if draft.allows(action)}


@pytest.mark.parametrize("body", [b"<html>nginx</html>", b"", b"{}"])
@pytest.mark.parametrize(
    ("service", "status"),
    [("aws_s3", 404), ("backblaze", 403), ("backblaze", 404), ("dropbox", 403), ("dropbox", 404)],
)
def test_a_server_that_is_not_the_service_offers_nothing_to_create(service: str, status: int, body: bytes) -> None:
    report = checked(service, lambda *_: (status, {"Content-Type": "text/html"}, body))
    assert report.failure is not None
    assert report.failure.kind == "configuration"
    assert report.failure.code == ("realm" if service == "backblaze" else "endpoint_url")
    assert offers(report) == set()


@pytest.mark.parametrize("body", [b"<html>nginx</html>", b"", b'{"error": {"code": 404, "message": "Not Found"}}'])
def test_an_address_that_is_not_googles_has_no_folder_to_create(body: bytes) -> None:
    report = checked("google_drive", lambda *_: (404, {"Content-Type": "text/html"}, body))
    assert report.failure is not None
    assert (report.failure.kind, report.failure.code) == ("configuration", "endpoint_url")
    assert offers(report) == set()


def test_keys_for_another_bucket_are_offered_the_buckets_that_they_can_list() -> None:
    report = checked("aws_s3", lambda *_: error(403, "AccessDenied"))
    assert report.failure is not None
    assert report.failure.kind == "permission"
    assert "limited to another bucket, set container to that bucket" in report.failure.hint
    assert offers(report) == {"choose"}


def test_an_error_on_creating_does_not_ask_for_rights_that_the_key_has() -> None:
    def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        return error(403, "AccessDenied") if method == "PUT" else error(404, "NoSuchBucket")

    assert offers(checked("aws_s3", answer)) == {"create", "choose"}  # a server may hide what is others'
    with stub(answer) as server, pytest.raises(PermissionDenied, match="may not create the bucket b") as caught:
        server.provider().create_container("b")
    assert "s3:CreateBucket" in caught.value.hint
    assert "read, write" not in caught.value.hint


def test_a_missing_shared_drive_cannot_be_created() -> None:
    def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        if "about" in path and "authorization" not in headers:
            return 401, {}, b"{}"
        if "about" in path:
            return 200, {}, json.dumps({"kind": "drive#about", "user": {"emailAddress": "a@b"}}).encode()
        reply = {"error": {"code": 404, "message": "Shared drive not found: 0A", "errors": [{"reason": "notFound"}]}}
        if path.startswith("/drive"):
            return 404, {}, json.dumps(reply).encode()
        return 200, {}, b'{"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}'

    report = checked("google_drive", answer, shared_drive_id="0A")
    assert report.failure is not None
    assert (report.failure.kind, report.failure.code) == ("configuration", "shared_drive_id")
    assert next(step.name for step in report.steps if step.error) is StepName.CONTAINER
    assert offers(report) == set()
