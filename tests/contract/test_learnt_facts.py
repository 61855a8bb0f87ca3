"""Discovered facts about a server expire and are discovered again: servers are updated and reconfigured."""

from __future__ import annotations

import time

import pytest

from providers.contract.aged_facts import MAX_AGE_S
from providers.contract.context import FactsInMemory, ProviderContext
from providers.testing.needs import WIRED
from tests.servers.drive_oauth import ACCOUNT

SETTINGS = {"google_drive": {"account": ACCOUNT}}
"""Settings required so that there is something to discover."""


class Aging(FactsInMemory):
    """All remembered facts are older by `age_s`."""

    age_s = 0.0

    def recall(self, key):
        found = super().recall(key)
        return found and {name: value - self.age_s if name == "learnt_at" else value for name, value in found.items()}


@WIRED
@pytest.mark.parametrize(
    ("age_s", "known"), [(0, True), (MAX_AGE_S - 60, True), (MAX_AGE_S + 60, False), (-2 * 86400.0, False)]
)
def test_a_discovered_fact_expires(harness, root, age_s, known):
    """A negative age is a fact from the future: the clock was set back."""
    settings = SETTINGS.get(harness.service, {})
    root.facts = Aging()
    root.connect(max_retries=0, **settings).learn()
    assert root.wired.requests, "there is something to learn"
    root.facts.age_s = age_s
    root.wired.wait_idle()
    root.wired.forget()
    provider = root.connect(max_retries=0, **settings)
    declared = provider.capabilities
    differing = {name: value for name, value in harness.limits.learnt.items() if getattr(declared, name) != value}
    assert bool(differing) is (bool(harness.limits.learnt) and not known), "an expired fact is not used"
    provider.learn()
    assert (root.wired.count() == 0) is known
    assert all(getattr(provider.capabilities, name) == value for name, value in harness.limits.learnt.items())


@WIRED
def test_a_discovered_fact_expires_within_a_connection_too(harness, root):
    """A worker lives for months."""
    passed_s = [0.0]
    root.facts = Aging()
    context = ProviderContext(clock=lambda: time.monotonic() + passed_s[0])
    provider = root.connect(context=context, max_retries=0, **SETTINGS.get(harness.service, {}))
    provider.learn()
    root.wired.wait_idle()
    root.wired.forget()
    provider.learn()
    assert root.wired.count() == 0
    passed_s[0] = root.facts.age_s = MAX_AGE_S + 60
    provider.learn()
    assert root.wired.count() > 0
