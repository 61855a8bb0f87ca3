"""The harness of a class in the style of the guide. Its capabilities choose the contract tests that apply.

    # acme_harness.py
    HARNESS = guide_style(
        "acme",
        {"container": "suite", "api_key": "..."},
        other_container={"container": "other"},
        missing_container={"container": "none"},
    )

The class is installed as the plug-in `acme`; `providers.testing` has the command that runs the suite. The container
must be empty, and is emptied after each test. Server and objects are accessed through the five methods of the class,
bypassing the adapter.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from providers.contract.capabilities import Capabilities, Proof
from providers.errors import ProviderError
from providers.guide.adapter import GuideStyle
from providers.testing.harness import Connections, FixtureValue, Harness, Limits, Root

UNKEEPABLE = frozenset({"absolute", "parent", "inner parent", "dot", "empty segment", "nul", "empty"})
"""Names that the adapter refuses for every class."""


@dataclass
class GuideRoot(Connections):
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    def _five(self) -> Any:
        """An instance of the class itself, without the adapter."""
        return cast(GuideStyle, self.connect()).five

    def stored(self) -> dict[str, bytes]:
        five = self._five()
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, "copy")
            found = {}
            for item in five.list_files("", 1_000_000):
                assert five.download(item["name"], copy) is True
                found[item["name"]] = copy.read_bytes()
        return found

    def plant(self, objects: Mapping[str, bytes]) -> None:
        five = self._five()
        with tempfile.TemporaryDirectory() as folder:
            original = Path(folder, "original")
            for key, data in objects.items():
                original.write_bytes(data)
                assert five.upload(original, key) is True

    def leftovers(self) -> list[str]:
        """Always empty: a class that sends whole files leaves nothing unfinished."""
        return []

    def expire(self) -> None:
        """Nothing to do: nothing can expire."""

    def other_container(self) -> Mapping[str, str]:
        return self.elsewhere

    def damage(self, key: str) -> None:
        data = self.stored()[key]
        self.plant({key: bytes([data[0] ^ 0xFF]) + data[1:]})

    def empty(self) -> None:
        five = self._five()
        for item in five.list_files("", 1_000_000):
            five.delete(item["name"])


def guide_style(
    service: str,
    settings: Mapping[str, Any] | Callable[[FixtureValue, Path], Mapping[str, Any]],
    *,
    other_container: Mapping[str, str] | Callable[[Path], Mapping[str, str]],
    missing_container: Mapping[str, str],
    refused_names: frozenset[str] = frozenset(),
    broken_names: Mapping[str, type[ProviderError]] | None = None,
    keeps_emptied_folders: bool = False,
    obeys_bandwidth: bool = False,
) -> Harness:
    """The harness of the plug-in `service`.

    `settings` belong to an empty container; `other_container` and `missing_container` override them. Of the names in
    `providers/testing/suite/objects/test_names.py`, `refused_names` raise InvalidName in the class, `broken_names`
    another error.
    """

    @contextmanager
    def opened(fixture: FixtureValue, tmp: Path) -> Iterator[Root]:
        values = settings(fixture, tmp) if callable(settings) else settings
        other = other_container(tmp) if callable(other_container) else other_container
        secrets = tuple(str(values[name]) for name in ("password", "api_key", "secret_key") if values.get(name))
        (tmp / "work").mkdir()
        root = GuideRoot(service, values, tmp / "work", secrets=secrets, elsewhere=other)
        try:
            yield cast(Root, root)
        finally:
            root.empty()
            root.close()

    return Harness(
        name=service,
        service=service,
        open=opened,
        capabilities=Capabilities(resumable_uploads=False, max_parts=1, ranged_reads=False, server_prefix_search=False),
        limits=Limits(
            part_bytes=1 << 20,
            refused_names=UNKEEPABLE | refused_names,
            broken_names=broken_names or {},
            proof_of_one=Proof.READ_BACK,
            proof_of_parts=Proof.READ_BACK,
            keeps_emptied_folders=keeps_emptied_folders,
            keeps_mtime=False,
            tells_missing=ProviderError,
            shows_whole_alone=False,
            obeys_bandwidth=obeys_bandwidth,
        ),
        missing_container=missing_container,
    )
