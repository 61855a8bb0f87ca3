"""`test-cycle` for each service on its test server, and `test-providers` over all five at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from backup.cli.diagnostics import ExitCode
from backup.cli.output import Output
from backup.cli.plan_words import show_plan
from backup.model.transfers import JobKind, TransferPlan
from backup.system.paths import Paths
from providers import registry, settings
from providers.secret import Secret
from providers.testing.fault_proxy import FaultProxy
from providers.testing.faults import Fault, Side, any_request
from screens.modals import transfer_questions
from tests.cli.conftest import Cli, s3_instance, write_config
from tests.contract.harnesses import HARNESSES
from tests.credentials_fixture import SecretService
from tests.servers.s3_server import S3Server

CHOSEN = {harness.service: harness for harness in HARNESSES}


@pytest.fixture
def configured(
    request: pytest.FixtureRequest, cli: Cli, paths: Paths, secret_service: SecretService, tmp_path: Path
) -> Iterator[list[str]]:
    """Instances of the services named by the test, on their servers, with secrets in a keyring."""
    from contextlib import ExitStack

    from backup.core.core import Core

    with ExitStack() as stack:
        core = Core(paths)
        for name in request.param:
            folder = tmp_path / name
            folder.mkdir()
            root: Any = stack.enter_context(CHOSEN[name].open(request.getfixturevalue, folder))
            cls = registry.spec(name).settings
            assert cls is not None
            secret_fields = {field.name for field in settings.describe(cls) if field.secret}
            values = {key: str(value) for key, value in root.defaults.items() if key not in secret_fields}
            secrets = {key: Secret(str(value)) for key, value in root.defaults.items() if key in secret_fields}
            core.instances.save(name, name, values, secrets)
        core.close()
        yield list(request.param)


@pytest.mark.few(2)
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
    result = program("test-providers", "--all", "--json")
    assert result.code == 0, result.err
    found = {each["name"]: each for each in result.json()["providers"]}
    assert set(found) == set(configured)
    assert all(each["ok"] and len(each["steps"]) == 5 for each in found.values())


def test_enabled_providers_are_checked_in_parallel(
    program: Cli,
    paths: Paths,
    moto_s3: S3Server,
    moto_proxy: FaultProxy,
    rclone_s3: S3Server,
    rclone_proxy: FaultProxy,
    aws_credentials: None,
):
    """Both answers are held back until both were asked. The table has step and time, then cause and fix."""
    wrong = s3_instance(moto_s3, "no-such-bucket", port=moto_proxy.port, timeout=60)
    right = s3_instance(rclone_s3, rclone_s3.new_bucket(), port=rclone_proxy.port, timeout=60)
    idle = {**right, "enabled": False}
    write_config(paths, wrong=wrong, right=right, idle=idle)
    rules = [proxy.fault(Fault.stall(Side.RESPONSE, at=None), when=any_request) for proxy in (moto_proxy, rclone_proxy)]
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(program, "test-providers")
        for rule in rules:
            rule.wait_held()
        for rule in rules:
            rule.release()
        result = running.result()
    assert result.code == ExitCode.NOT_FOUND
    rows = [line.split() for line in result.out.splitlines()]
    assert rows[0] == ["PROVIDER", "STEP", "STATE", "TIME", "DETAIL"]
    assert {row[0] for row in rows[1:]} == {"local", "wrong", "right"}
    assert [row[0] for row in rows if "failed" in row] == ["wrong"]
    assert "wrong failed its check" in result.err
    assert "no-such-bucket does not exist" in result.err
    assert "Check the name in container" in result.err
    assert "not checked, because not enabled: idle" in result.err


def test_clashing_names_are_in_the_plan(paths: Paths, capsys: pytest.CaptureFixture[str]):
    plan = TransferPlan(
        kind=JobKind.UPLOAD, instance="dropbox", destination="dropbox:/", files=2, folders=0, size_bytes=2, clashes=1,
        clashing_names=("a\x1b",),
    )  # fmt: skip
    show_plan(Output(), plan)
    shown = capsys.readouterr().out
    assert "will be refused, because names differ only in case: 1 file: a" in shown
    assert "\x1b" not in shown
    (fact,) = [fact for fact in transfer_questions._warnings(plan) if fact.label == "refused"]
    assert "1 name" in str(fact.text)
    assert "\x1b" not in str(fact.text)
