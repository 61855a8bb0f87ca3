"""JSON may contain lone surrogates, which no database can store: nothing hangs, and the journal is not called
damaged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from backup.cli.diagnostics import ExitCode
from backup.core.core import Core
from backup.system.paths import Paths
from providers import registry, settings
from providers.contract.objects import RemoteFile
from providers.secret import Secret
from providers.testing.faults import Rule, When
from tests.cli.conftest import Cli
from tests.contract.harnesses import HARNESSES
from tests.credentials_fixture import SecretService
from tests.processes import stop_worker
from tests.servers import hostile

FIELDS = {
    "backblaze": ("fileId", "accountId"),
    "dropbox": ("rev", "id", "email"),
    "google_drive": ("headRevisionId", "permissionId", "emailAddress"),
}


@pytest.fixture(params=FIELDS)
def root(
    request: pytest.FixtureRequest, cli: Cli, paths: Paths, secret_service: SecretService, tmp_path: Path
) -> Iterator[Any]:
    """The server of an enabled instance named after the service."""
    harness = next(harness for harness in HARNESSES if harness.service == request.param)
    spec = registry.spec(harness.service).settings
    assert spec is not None
    secret = {field.name for field in settings.describe(spec) if field.secret}
    with ExitStack() as stack:
        (tmp_path / "server").mkdir()
        opened: Any = stack.enter_context(harness.open(request.getfixturevalue, tmp_path / "server"))
        values = {key: str(value) for key, value in opened.defaults.items()}
        core = Core(paths)
        core.instances.save(
            harness.service,
            harness.service,
            {key: value for key, value in values.items() if key not in secret},
            {key: Secret(value) for key, value in values.items() if key in secret},
        )
        core.close()
        assert cli("enable-provider", harness.service).code == 0
        yield opened
        if paths.journal_file.exists():
            assert stop_worker(paths)


def replaced(found: Any, names: tuple[str, ...]) -> Any:
    if isinstance(found, list):
        return [replaced(each, names) for each in found]
    if isinstance(found, dict):
        return {key: "\ud800" if key in names else replaced(value, names) for key, value in found.items()}
    return found


def garbled(root: Any, *names: str) -> Rule:
    """Put a lone surrogate into these fields of all answers except those with content."""

    def edit(data: bytes) -> bytes:
        try:
            return json.dumps(replaced(json.loads(data), names)).encode()
        except ValueError:
            return data

    reads = next(harness.requests.read for harness in HARNESSES if harness.service == root.service)
    when: When = lambda seen: not (reads(seen) or seen.method == "HEAD")  # noqa: E731
    rule: Rule = root.wired.fault(hostile.odd(hostile.body(edit)), when, times=None)
    return rule


def test_versions_and_accounts_that_are_not_text_lose_no_file(cli: Cli, root: Any, tmp_path: Path):
    root.plant({"d/a": b"1"})
    rule = garbled(root, *FIELDS[root.service])
    result = cli("download", "d/a", "--provider", root.service, "--to", str(tmp_path / "a"))
    assert (result.code, bool(rule.hits)) == (0, True), result.err
    assert (tmp_path / "a").read_bytes() == b"1"


@pytest.mark.parametrize("root", ["dropbox"], indirect=True)
def test_an_account_that_is_not_text_is_another_account(cli: Cli, root: Any, tmp_path: Path):
    root.plant({"d/a": b"1"})
    garbled(root, "account_id")
    result = cli("download", "d/a", "--provider", "dropbox", "--to", str(tmp_path / "a"))
    assert result.code == ExitCode.AUTHENTICATION
    assert "but this provider belongs to" in result.err


def test_an_etag_that_is_not_text_is_ignored():
    assert RemoteFile(key="a", size_bytes=1, etag="\ud800").etag == ""
    assert RemoteFile(key="a", size_bytes=1, etag="\u00e9").etag == "\u00e9"


def test_an_unforeseen_error_of_a_plug_in_ends_the_transfer(cli: Cli, paths: Paths, acme: Path, tmp_path: Path):
    """The error comes outside the transfer itself, while the worker asks for the account."""
    module = tmp_path / "site" / "acme_storage.py"
    module.write_text(
        "from providers.local.provider import LocalProvider\n"
        "class AcmeProvider(LocalProvider):\n"
        "    def account(self):\n"
        "        raise RuntimeError('unforeseen')\n"
    )
    (tmp_path / "file").write_bytes(b"1")
    assert cli("set-config", "acme", "container", str(acme)).code == 0
    assert cli("enable-provider", "acme").code == 0
    try:
        result = cli("upload", str(tmp_path / "file"), "--provider", "acme")
        assert result.code == 1
        assert "internal error (RuntimeError)" in result.err
    finally:
        assert stop_worker(paths)
