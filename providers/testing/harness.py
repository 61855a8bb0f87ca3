"""What the contract suite needs to know of a service, and of one server that speaks for it.

To bring a service of your own: write one `Harness`, add it to `tests/contract/harnesses.py`, and the whole suite runs
over it. Whatever a service cannot do is said in its capabilities and limits, never found out by a skipped test.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import pytest

from providers import registry, settings
from providers.base import BaseProvider
from providers.contract.capabilities import Capabilities, Proof
from providers.contract.context import FactsInMemory, ProviderContext
from providers.errors import NotFound, ProviderError, Transient
from providers.testing.fault_proxy import FaultProxy
from providers.testing.faults import Fault, Side, When
from providers.testing.support import FakeTime

FixtureValue = Callable[[str], Any]
"""`request.getfixturevalue`: how a harness comes by the servers of `tests/servers/fixtures.py`."""


class Operation(Enum):
    UPLOAD = "upload in one request"
    UPLOAD_PARTS = "upload in parts"
    DOWNLOAD = "download"
    LIST = "list"
    DELETE = "delete"


WRITING = frozenset({Operation.UPLOAD, Operation.UPLOAD_PARTS})
READING = frozenset({Operation.DOWNLOAD, Operation.LIST})
ALL = frozenset(Operation)


@dataclass(frozen=True)
class Wire:
    """The service's requests as the fault proxy tells them apart. Parts count from 0."""

    begin: When
    send_part: Callable[[int | None], When]
    send_whole: When
    """An object in one request."""
    commit: When
    read: When
    listing: When
    remove: When

    @property
    def sends(self) -> When:
        """Any request that carries content of an object."""
        part = self.send_part(None)
        return lambda request: part(request) or self.send_whole(request)


@dataclass(frozen=True)
class Trouble:
    """Something that is wrong at the service for as long as `inject` lasts, and what the provider has to make of it."""

    name: str
    expected: type[ProviderError]
    inject: Callable[[Root], AbstractContextManager[object]]
    on: frozenset[Operation] = ALL
    says: str = ""
    """A pattern that message or hint must match, whatever the case."""


def answering(
    name: str, expected: type[ProviderError], fault: Fault, *, on: frozenset[Operation] = ALL, says: str = ""
) -> Trouble:
    """Trouble that the service tells of in its answer to each request."""

    @contextmanager
    def inject(root: Root) -> Iterator[None]:
        rule = root.wired.fault(fault, times=None)
        try:
            yield
        finally:
            rule.release()

    return Trouble(name, expected, inject, on, says)


Answered = tuple[str, type[ProviderError], Fault, str]
"""A name, what the provider has to make of it, what the service answers, and what the message must say."""


def troubles(
    answers: Iterable[Answered], *, on_writing: Iterable[Answered] = (), broken_on: frozenset[Operation] = ALL
) -> tuple[Trouble, ...]:
    """What a service answers, and the three ways in which a connection to any service breaks."""
    return (
        *(answering(name, expected, fault, says=says) for name, expected, fault, says in answers),
        *(answering(name, expected, fault, says=says, on=WRITING) for name, expected, fault, says in on_writing),
        Trouble("nobody listens", Transient, lambda root: root.wired.refusing()),
        answering("reset at once", Transient, Fault.refuse()),
        answering("reset before the reply", Transient, Fault.reset(Side.RESPONSE, at=None), on=broken_on),
    )


@dataclass(frozen=True)
class Limits:
    """What this server does, as far as capabilities do not say it."""

    part_bytes: int
    """Smallest part size that the suite may choose."""
    refused_names: frozenset[str] = frozenset()
    """Ids of `tests/contract/test_names.py` that must be InvalidName here; all others are kept byte for byte."""
    broken_names: Mapping[str, type[ProviderError]] = field(default_factory=dict)
    """Names that the server itself trips over without saying why, and what it can be taken for. Never a success."""
    proof_of_one: Proof = Proof.MATCHED
    proof_of_parts: Proof = Proof.MATCHED
    """The rung that an object sent in one request, or in parts, really reaches."""
    learnt: Mapping[str, Any] = field(default_factory=dict)
    """Capabilities that `learn` finds out to be different on this server."""
    finds_damage_by_part: bool = True
    """Whether damage on the way up is found part by part; without that, it is found when the whole is there."""
    lists_unfinished: bool = True
    """Whether unfinished uploads can be found by their key; without that, one whose token was lost begins anew."""
    mtime_step_ns: int = 1
    """How finely the service keeps a file's own mtime."""
    keeps_emptied_folders: bool = False
    """Whether a folder stays after its last object has gone."""
    keeps_etag: bool = True
    """Whether the ETag that a commit tells is the one that is told later."""
    keeps_mtime: bool = True
    """Whether the file's own mtime is kept with the object."""
    shows_whole_alone: bool = True
    """Whether an object that is on its way up shows only when it is whole; until then the older one stays."""
    obeys_bandwidth: bool = True
    """Whether `max_bandwidth` holds it back."""
    tells_missing: type[ProviderError] = NotFound
    """What is made of a container that is not there."""
    container_specific: frozenset[str] = frozenset()
    """Capabilities whose value depends on where the container is, so that no constant can be declared."""


class Root(Protocol):
    """A fresh, empty container, and a view of it that does not go through the product."""

    tmp: Path
    """Scratch space for sources and targets."""
    proxy: FaultProxy | None
    secrets: tuple[str, ...]
    """Texts that nothing may ever show."""

    @property
    def wired(self) -> FaultProxy:
        """The proxy; AssertionError where there is none."""

    def connect(self, *, context: ProviderContext | None = None, **values: Any) -> BaseProvider:
        """Another connection to this container, closed with the root. `values` override settings."""

    def ready(self, *, context: ProviderContext | None = None, **values: Any) -> BaseProvider:
        """A connection that has learnt what the server enforces; the proxy counts from now on."""

    def stored(self) -> dict[str, bytes]:
        """What is visible, read past the product."""

    def plant(self, objects: Mapping[str, bytes]) -> None:
        """Put objects there, past the product."""

    def make_folder(self, key: str) -> None:
        """Make an empty folder, past the product; asked for only where folders are real."""

    def leftovers(self) -> list[str]:
        """Unfinished uploads that the service still holds."""

    def expire(self) -> None:
        """Have the service forget all unfinished uploads."""

    def other_container(self) -> Mapping[str, str]:
        """Settings that lead to another empty container."""

    def damage(self, key: str) -> None:
        """Change one byte of a stored object."""


@dataclass(frozen=True)
class Harness:
    """One service on one server."""

    name: str
    service: str
    """Its name in the registry."""
    open: Callable[[FixtureValue, Path], AbstractContextManager[Root]]
    capabilities: Capabilities
    """What a fresh instance must declare."""
    limits: Limits
    missing_container: Mapping[str, str] = field(default_factory=dict)
    """Settings that lead to a container that is not there."""
    wrong_credentials: Mapping[str, str] = field(default_factory=dict)
    """Settings that a server which really checks must refuse; empty where it does not check."""
    damage_unfinished: Callable[[Root], None] | None = None
    """Changes a byte of what an unfinished upload has stored so far, where a test can get at it."""
    troubles: tuple[Trouble, ...] = ()
    wire: Wire | None = None
    """None where no network lies between."""
    to_do: Mapping[str, str] = field(default_factory=dict)
    """What is not yet written of a service that was just begun. While there is something, the suite says that and no
    more."""

    def applies(self, setting: str) -> bool:
        found = registry.spec(self.service).settings
        assert found is not None
        return setting in {item.name for item in settings.describe(found)}

    def width(self, connections: int) -> int:
        """How many parts really go up at once."""
        return connections if self.capabilities.parallel_parts else 1

    @property
    def requests(self) -> Wire:
        assert self.wire is not None, f"{self.name} has no wire"
        return self.wire


@dataclass
class Connections:
    """The part of a `Root` that is the same for all: providers of one service, closed at the end."""

    service: str
    defaults: Mapping[str, Any]
    tmp: Path
    proxy: FaultProxy | None = None
    secrets: tuple[str, ...] = ()
    facts: FactsInMemory = field(default_factory=FactsInMemory)
    """What one connection has learnt, the next one knows, as in the program."""
    _stack: ExitStack = field(default_factory=ExitStack)

    @property
    def wired(self) -> FaultProxy:
        assert self.proxy is not None, "no network lies between"
        return self.proxy

    def connect(self, *, context: ProviderContext | None = None, **values: Any) -> BaseProvider:
        """Waits between retries take no time, unless the context brings its own sleep."""
        made = context or ProviderContext(sleep=FakeTime().sleep)
        provider = registry.load(self.service)({**self.defaults, **values}, context=replace(made, facts=self.facts))
        self._stack.callback(provider.close)
        return provider

    def ready(self, *, context: ProviderContext | None = None, **values: Any) -> BaseProvider:
        provider = self.connect(context=context, **values)
        provider.learn()
        if self.proxy:
            self.proxy.wait_idle()
            self.proxy.forget()
        return provider

    def close(self) -> None:
        self._stack.close()


def in_parts(harness: Harness) -> bool:
    return harness.capabilities.max_parts != 1


def resumes(harness: Harness) -> bool:
    return harness.capabilities.resumable_uploads


def keeps_mtime(harness: Harness) -> bool:
    return harness.limits.keeps_mtime


def shows_whole_alone(harness: Harness) -> bool:
    return harness.limits.shows_whole_alone


def obeys_bandwidth(harness: Harness) -> bool:
    return harness.limits.obeys_bandwidth


def named_outside() -> tuple[Harness, ...]:
    """The harness that CONTRACT_HARNESS names, if it does."""
    module, _, name = os.environ.get("CONTRACT_HARNESS", "").partition(":")
    return (getattr(importlib.import_module(module), name),) if module else ()


def needs(fits: Callable[[Harness], bool]) -> pytest.MarkDecorator:
    """The test does not apply to a harness that says so of itself, and is not made for it."""
    return pytest.mark.needs.with_args(fits)


def only(harnesses: tuple[Harness, ...], fits: Callable[[Harness], object]) -> pytest.MarkDecorator:
    """Parametrises a test over the harnesses that it can be asked of."""
    fitting = [harness for harness in harnesses if fits(harness)]
    return pytest.mark.parametrize("harness", fitting, ids=lambda harness: harness.name)
