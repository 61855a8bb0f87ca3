"""`test-cycle` for each service on its test server, and `test-providers` over all five at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backup.paths import Paths
from providers import registry, settings
from providers.secret import Secret
from tests.cli.conftest import Cli
from tests.contract.harnesses import HARNESSES
from tests.credentials_fixture import SecretService

CHOSEN = {harness.service: harness for harness in HARNESSES}


@pytest.fixture
def configured(
    request: pytest.FixtureRequest, cli: Cli, paths: Paths, secret_service: SecretService, tmp_path: Path
) -> Iterator[list[str]]:
    """Instances of the services that the test names, on their servers, with the secrets in a keyring."""
    from contextlib import ExitStack

    from backup.service import Service

    with ExitStack() as stack:
        service = Service(paths)
        for name in request.param:
            folder = tmp_path / name
            folder.mkdir()
            root: Any = stack.enter_context(CHOSEN[name].open(request.getfixturevalue, folder))
            cls = registry.spec(name).settings
            assert cls is not None
            secret_fields = {field.name for field in settings.describe(cls) if field.secret}
            values = {key: str(value) for key, value in root.defaults.items() if key not in secret_fields}
            secrets = {key: Secret(str(value)) for key, value in root.defaults.items() if key in secret_fields}
            service.save_instance(name, name, values, secrets)
        service.close()
        yield list(request.param)


@pytest.mark.parametrize("configured", [[name] for name in registry.EMBEDDED], indirect=True, ids=registry.EMBEDDED)
def test_cycle(program: Cli, configured: list[str]):
    result = program("test-cycle", "--provider", configured[0], "--size", "6MB", "--json")
    assert result.code == 0, result.err
    report = json.loads(result.out)
    assert report["ok"]
    assert report["left_behind"] is None
    assert all(step["state"] == "ok" for step in report["steps"])


@pytest.mark.parametrize("configured", [list(registry.EMBEDDED)], indirect=True, ids=["all"])
def test_all_five_are_checked_together(program: Cli, configured: list[str]):
    result = program("test-providers", "--json")
    assert result.code == 0, result.err
    found = {each["name"]: each for each in result.json()["providers"]}
    assert set(found) == set(configured)
    assert all(each["ok"] and len(each["steps"]) == 5 for each in found.values())
