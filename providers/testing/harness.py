"""Description of a service, and of one server that implements it, for the contract suite.

To test a service of your own, write one `Harness` (`providers.testing` has an example). Declare in capabilities and
limits what the service cannot do; tests are never skipped for it.
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

from providers import registry, settings
from providers.base import BaseProvider
from providers.contract.capabilities import Capabilities, Proof
from providers.contract.context import FactsInMemory, ProviderContext
from providers.errors import NotFound, ProviderError, Transient
from providers.testing.fault_proxy import FaultProxy
from providers.testing.faults import Fault, Side, When
from providers.testing.support import FakeTime

FixtureValue = Callable[[str], Any]
"""`request.getfixturevalue`: gives a harness access to fixtures, such as a server that all tests share."""


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
    """Predicates by which the fault proxy recognises requests of the service. Parts count from 0."""

    begin: When
    send_part: Callable[[int | None], When]
    send_whole: When
    """An object sent in one request."""
    commit: When
    read: When
    listing: When
    remove: When

    @property
    def sends(self) -> When:
        """Any request that carries object content."""
        part = self.send_part(None)
        return lambda request: part(request) or self.send_whole(request)


@dataclass(frozen=True)
class Trouble:
    """A fault at the service while `inject` is active, and the error the provider must raise."""

    name: str
    expected: type[ProviderError]
    inject: Callable[[Root], AbstractContextManager[object]]
    on: frozenset[Operation] = ALL
    says: str = ""
    """A pattern that message or hint must match, ignoring case."""


def answering(
    name: str, expected: type[ProviderError], fault: Fault, *, on: frozenset[Operation] = ALL, says: str = ""
) -> Trouble:
    """A fault that the service reports in its answer to each request."""

    @contextmanager
    def inject(root: Root) -> Iterator[None]:
        rule = root.wired.fault(fault, times=None)
        try:
            yield
        finally:
            rule.release()

    return Trouble(name, expected, inject, on, says)


Answered = tuple[str, type[ProviderError], Fault, str]
"""Name, expected error of the provider, answer of the service, and expected text in the message."""


def troubles(
    answers: Iterable[Answered], *, on_writing: Iterable[Answered] = (), broken_on: frozenset[Operation] = ALL
) -> tuple[Trouble, ...]:
    """Error answers of a service, and the three ways a connection can break."""
    return (
        *(answering(name, expected, fault, says=says) for name, expected, fault, says in answers),
        *(answering(name, expected, fault, says=says, on=WRITING) for name, expected, fault, says in on_writing),
        Trouble("nobody listens", Transient, lambda root: root.wired.refusing()),
        answering("reset at once", Transient, Fault.refuse()),
        answering("reset before the reply", Transient, Fault.reset(Side.RESPONSE, at=None), on=broken_on),
    )


@dataclass(frozen=True)
class Limits:
    """Behaviour of this server that is not in the capabilities."""

    part_bytes: int
    """Smallest part size that the suite may use."""
    refused_names: frozenset[str] = frozenset()
    """Ids in `providers/testing/suite/objects/test_names.py` that must be InvalidName here; all others are kept byte
    for byte."""
    broken_names: Mapping[str, type[ProviderError]] = field(default_factory=dict)
    """Names that make the server fail without a reason, and the acceptable errors. Never a success."""
    proof_of_one: Proof = Proof.MATCHED
    proof_of_parts: Proof = Proof.MATCHED
    """The proof reached by an object sent in one request, or in parts."""
    learnt: Mapping[str, Any] = field(default_factory=dict)
    """Capabilities that `learn` finds to be different on this server."""
    finds_damage_by_part: bool = True
    """Whether upload damage is found part by part; if not, it is found when the object is complete."""
    lists_unfinished: bool = True
    """Whether unfinished uploads can be found by key; if not, one whose token was lost starts again."""
    mtime_step_ns: int = 1
    """Resolution of the stored mtime."""
    keeps_emptied_folders: bool = False
    """Whether a folder remains after its last object is gone."""
    keeps_etag: bool = True
    """Whether the ETag reported by a commit is the one reported later."""
    keeps_mtime: bool = True
    """Whether the file's own mtime is kept with the object."""
    shows_whole_alone: bool = True
    """Whether an object becomes visible only when complete; until then the older one stays."""
    obeys_bandwidth: bool = True
    """Whether `max_bandwidth` limits it."""
    tells_missing: type[ProviderError] = NotFound
    """The error for a missing container."""
    container_specific: frozenset[str] = frozenset()
    """Capabilities that depend on where the container is, so that no constant can be declared."""


class Root(Protocol):
    """A fresh, empty container, and access to it that bypasses the product."""

    tmp: Path
    """Scratch folder for sources and targets."""
    proxy: FaultProxy | None
    secrets: tuple[str, ...]
    """Texts that must never be shown."""

    @property
    def wired(self) -> FaultProxy:
        """The proxy; AssertionError if there is none."""

    def connect(self, *, context: ProviderContext | None = None, **values: Any) -> BaseProvider:
        """Another connection to this container, closed with the root. `values` override settings."""

    def ready(self, *, context: ProviderContext | None = None, **values: Any) -> BaseProvider:
        """A connection that has discovered what the server enforces; the proxy counts from now on."""

    def stored(self) -> dict[str, bytes]:
        """The visible objects, read bypassing the product."""

    def plant(self, objects: Mapping[str, bytes]) -> None:
        """Store objects, bypassing the product."""

    def make_folder(self, key: str) -> None:
        """Make an empty folder, bypassing the product; only called if folders are real."""

    def leftovers(self) -> list[str]:
        """Unfinished uploads that the service still holds."""

    def expire(self) -> None:
        """Make the service forget all unfinished uploads."""

    def other_container(self) -> Mapping[str, Any]:
        """Settings of another empty container."""

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
    """The capabilities a fresh instance must declare."""
    limits: Limits
    missing_container: Mapping[str, Any] = field(default_factory=dict)
    """Settings of a container that does not exist."""
    wrong_credentials: Mapping[str, Any] = field(default_factory=dict)
    """Settings that a server which checks them must refuse; empty if it does not check."""
    damage_unfinished: Callable[[Root], None] | None = None
    """Changes a stored byte of an unfinished upload, if a test can access it."""
    troubles: tuple[Trouble, ...] = ()
    wire: Wire | None = None
    """None if no network is involved."""
    to_do: Mapping[str, str] = field(default_factory=dict)
    """Missing pieces of a service under development. If there are any, the suite reports only those."""

    def applies(self, setting: str) -> bool:
        found = registry.spec(self.service).settings
        assert found is not None
        return setting in {item.name for item in settings.describe(found)}

    def width(self, connections: int) -> int:
        """Number of parts that are really sent at once."""
        return connections if self.capabilities.parallel_parts else 1

    @property
    def requests(self) -> Wire:
        assert self.wire is not None, f"{self.name} has no wire"
        return self.wire


@dataclass
class Connections:
    """The part of a `Root` shared by all: providers of one service, closed at the end."""

    service: str
    defaults: Mapping[str, Any]
    tmp: Path
    proxy: FaultProxy | None = None
    secrets: tuple[str, ...] = ()
    facts: FactsInMemory = field(default_factory=FactsInMemory)
    """Discoveries of one connection are known to the next, as in the program."""
    _stack: ExitStack = field(default_factory=ExitStack)

    @property
    def wired(self) -> FaultProxy:
        assert self.proxy is not None, "no network lies between"
        return self.proxy

    def connect(self, *, context: ProviderContext | None = None, **values: Any) -> BaseProvider:
        """Waits between retries take no time, unless the context has its own sleep."""
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


def named_outside() -> tuple[Harness, ...]:
    """The harness that CONTRACT_HARNESS names, if set."""
    module, _, name = os.environ.get("CONTRACT_HARNESS", "").partition(":")
    return (getattr(importlib.import_module(module), name),) if module else ()
