"""Every service runs the suite, and declares exactly what it keeps."""

from __future__ import annotations

from typing import Any

import msgspec

from providers.contract.capabilities import Capabilities
from providers.testing.harness import Harness, Root
from providers.testing.support import content, source
from providers.testing.transfers import upload


def test_a_fresh_instance_declares_what_the_harness_says(harness: Harness, root: Root) -> None:
    assert _declared(harness, root.connect().capabilities) == _declared(harness, harness.capabilities)


def test_an_upload_discovers_what_this_server_enforces(harness: Harness, root: Root) -> None:
    provider = root.connect()
    upload(provider, source(root.tmp, content(1000)), "first")
    expected = {**_declared(harness, harness.capabilities), **harness.limits.learnt}
    assert _declared(harness, provider.capabilities) == expected


def test_discovered_facts_are_not_requested_again(harness: Harness, root: Root) -> None:
    provider = root.ready()
    again = root.connect(context=provider.context)
    before = len(root.proxy.requests) if root.proxy else 0
    again.learn()
    assert again.capabilities == provider.capabilities
    assert (len(root.proxy.requests) if root.proxy else 0) == before
    assert root.stored() == {}
    assert root.leftovers() == []


def test_the_location_identifies_the_container_and_holds_no_secret(harness: Harness, root: Root) -> None:
    here = root.connect()
    assert root.connect().location == here.location
    assert root.connect(**harness.missing_container).location != here.location
    assert not any(secret in here.location for secret in root.secrets)


def _declared(harness: Harness, capabilities: Capabilities) -> dict[str, Any]:
    found = msgspec.structs.asdict(capabilities)
    return {name: value for name, value in found.items() if name not in harness.limits.container_specific}


def test_the_place_is_the_same_under_another_key(harness: Harness, root: Root) -> None:
    here = root.connect()
    assert root.connect(**harness.missing_container).place != here.place
    assert root.connect(**harness.wrong_credentials).place == here.place
    assert not any(secret in here.place for secret in root.secrets)


def test_the_account_of_a_place_stays_the_same(root: Root) -> None:
    one, other = root.connect().account(), root.connect().account()
    assert one == other
    assert root.connect().same_account(one, other)
    assert root.connect().same_account("", one)
