"""No service can miss the suite, and none can declare what it does not keep."""

from __future__ import annotations

import msgspec

from providers import registry
from tests.contract import guide_harness, harnesses
from tests.contract.harnesses import HARNESSES
from tests.contract.support import content, source
from tests.contract.transfers import upload


def test_every_service_has_a_harness():
    assert {harness.service for harness in HARNESSES} >= set(registry.EMBEDDED)
    assert len({harness.name for harness in HARNESSES}) == len(HARNESSES)


def test_one_more_can_be_named_from_outside():
    assert harnesses._named("tests.contract.guide_harness:ACME") == (guide_harness.ACME,)
    assert harnesses._named("") == ()


def test_a_fresh_instance_declares_what_the_harness_says(harness, root):
    assert _declared(harness, root.connect().capabilities) == _declared(harness, harness.capabilities)


def test_after_an_upload_it_knows_what_this_server_enforces(harness, root):
    provider = root.connect()
    upload(provider, source(root.tmp, content(1000)), "first")
    expected = {**_declared(harness, harness.capabilities), **harness.limits.learnt}
    assert _declared(harness, provider.capabilities) == expected


def test_what_was_learnt_is_not_asked_again(harness, root):
    provider = root.ready()
    again = root.connect(context=provider.context)
    before = len(root.proxy.requests) if root.proxy else 0
    again.learn()
    assert again.capabilities == provider.capabilities
    assert (len(root.proxy.requests) if root.proxy else 0) == before
    assert root.stored() == {}
    assert root.leftovers() == []


def test_the_location_tells_containers_apart_and_no_secret(harness, root):
    here = root.connect()
    assert root.connect().location == here.location
    assert root.connect(**harness.missing_container).location != here.location
    assert not any(secret in here.location for secret in root.secrets)


def _declared(harness, capabilities):
    found = msgspec.structs.asdict(capabilities)
    return {name: value for name, value in found.items() if name not in harness.limits.container_specific}
