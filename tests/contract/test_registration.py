"""Every service runs the suite, and declares exactly what it keeps."""

from __future__ import annotations

import pytest

from providers import registry
from providers.testing.harness import named_outside
from providers.testing.suite.service.test_registration import *  # noqa: F403
from tests.contract.guide_harness import ACME
from tests.contract.harnesses import HARNESSES


def test_every_service_has_a_harness():
    assert {harness.service for harness in HARNESSES} >= set(registry.EMBEDDED)
    assert len({harness.name for harness in HARNESSES}) == len(HARNESSES)


@pytest.mark.parametrize("harness", HARNESSES, ids=lambda harness: harness.name)
def test_no_service_is_incomplete(harness):
    lines = [f"{number:>2}. {what}: {words}" for number, (what, words) in enumerate(harness.to_do.items(), 1)]
    if lines:
        head = f"{harness.name} is still to do (take a line out of TO_DO in its provider.py once it is done):"
        pytest.fail("\n".join([head, *lines]), pytrace=False)
    assert harness.limits.part_bytes >= harness.capabilities.min_part_bytes


def test_an_external_harness_can_be_named(monkeypatch):
    monkeypatch.setenv("CONTRACT_HARNESS", "tests.contract.guide_harness:ACME")
    assert named_outside() == (ACME,)
    monkeypatch.delenv("CONTRACT_HARNESS")
    assert named_outside() == ()
