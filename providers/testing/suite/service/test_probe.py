"""The connection check: five steps, the first failure with cause and fix, nothing left behind."""

from __future__ import annotations

import pytest

from providers.contract.report import CheckStep, ConnectionReport, StepName, StepState
from providers.testing.faults import Fault
from providers.testing.harness import Harness, Root
from providers.testing.needs import WIRED, checks_credentials, needs
from providers.testing.support import content


def failed_at(report: ConnectionReport) -> StepName:
    states = [step.state for step in report.steps]
    first = states.index(StepState.FAILED)
    assert states == [StepState.OK] * first + [StepState.FAILED] + [StepState.NOT_RUN] * (4 - first)
    return report.steps[first].name


def test_all_steps_pass(root: Root) -> None:
    root.plant({"theirs": content(1000)})
    provider = root.connect()
    reported: list[CheckStep] = []
    report = provider.probe(reported.append)
    assert [step.name for step in report.steps] == list(StepName)
    assert [step.state for step in report.steps] == [StepState.OK] * 5
    assert tuple(reported) == report.steps
    assert report.ok
    assert report.failure is None
    assert all(step.detail for step in report.steps)
    assert set(root.stored()) == {"theirs"}
    assert root.leftovers() == []
    assert not any(secret in repr(report) for secret in root.secrets)


def test_a_missing_container_fails_its_step(harness: Harness, root: Root) -> None:
    provider = root.connect(**harness.missing_container)
    report = provider.probe()
    assert report.failure is not None
    assert report.failure.kind == harness.limits.tells_missing.kind
    assert report.failure.hint
    assert failed_at(report) in {StepName.REACH, StepName.CONTAINER}
    assert provider.test_connection() is False


@needs(checks_credentials)
def test_wrong_credentials_fail_authentication(harness: Harness, root: Root) -> None:
    report = root.connect(**harness.wrong_credentials).probe()
    assert failed_at(report) is StepName.AUTHENTICATE
    assert report.failure is not None
    assert report.failure.kind == "authentication"


@WIRED
def test_a_closed_port_fails_the_first_step(harness: Harness, root: Root) -> None:
    provider = root.connect(max_retries=0)
    with root.wired.refusing():
        report = provider.probe()
    assert failed_at(report) is StepName.REACH
    assert report.failure is not None
    assert report.failure.kind == "transient"
    assert provider.probe().ok, "it does not recover"


@WIRED
@pytest.mark.parametrize(("when", "step"), [("listing", StepName.LIST), ("send_whole", StepName.WRITE_READ_DELETE)])
def test_a_missing_right_fails_its_step(harness: Harness, root: Root, when: str, step: StepName) -> None:
    """A key that can read the container but lacks a right that backups need."""
    request = getattr(harness.requests, when)
    rule = root.wired.fault(Fault.status(403), when=request, times=None)
    report = root.connect(max_retries=0).probe()
    assert rule.hits
    assert failed_at(report) in {step, StepName.CONTAINER}
    assert report.failure is not None
    assert report.failure.kind == "permission"


@WIRED
@pytest.mark.parametrize("when", ["read", "remove"])
def test_the_probe_object_is_removed_even_after_a_failure(harness: Harness, root: Root, when: str) -> None:
    root.wired.fault(Fault.status(500), when=getattr(harness.requests, when), times=1)
    report = root.connect(max_retries=0).probe()
    assert not report.ok
    assert root.stored() == {}
    assert root.leftovers() == []
