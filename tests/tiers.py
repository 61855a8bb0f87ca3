"""Three tiers of one suite, and the order in which tests run.

`--tier quick`   modules that name no server, no process and no console (`UNIT`).
`--tier middle`  all but what is marked `full`; n sets of parameters of what is marked `few(n)`; the contract suite
                 over the local disk and, for each test, over one service more (`met_in_middle`).
`--tier full`    everything: every service in every mode. So is a run that names no tier.

What a tier leaves out is deselected, never skipped. `--shuffle SEED` runs tests in an order of chance.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest


class Tier(StrEnum):
    QUICK = "quick"
    MIDDLE = "middle"
    FULL = "full"


NO_UNIT = re.compile(
    r"tests\.(servers|contract|processes|security|terminal|credentials_fixture)|providers\.testing"
    r"|standin|scripted|run_test|secret_service|rclone_s3|moto_s3|b2_server"
    r"|subprocess|sys\.executable|multiprocessing|os\.fork|\bprogram\b|ensure_worker"
)
"""What a module of unit tests does not mention: servers, processes, consoles."""

ALWAYS_MET = "local"
"""The harness that needs no server."""


def is_unit(module: Path) -> bool:
    return NO_UNIT.search(module.read_text(encoding="utf-8")) is None


def met_in_middle(test: str, harnesses: Iterable[Any]) -> set[str]:
    """The names of those harnesses that the middle tier runs `test` over.

    The local disk, and of the others, in an order that the test's name decides, all up to the first that has a network
    between: each test meets one service over the network, and each service is met by a share of the tests. Which it is
    depends on names alone, not on what else there is.
    """
    found = list(harnesses)
    others = (harness for harness in found if harness.name != ALWAYS_MET)
    met = {ALWAYS_MET}
    for harness in sorted(others, key=lambda each: sha256(f"{test} {each.name}".encode()).digest()):
        met.add(harness.name)
        if harness.wire is not None:
            break
    return met


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tiers")
    group.addoption("--tier", type=Tier, choices=list(Tier), default=Tier.FULL, help="which tests (tests/tiers.py)")
    group.addoption("--shuffle", metavar="SEED", help="run tests in the order that SEED gives")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "full: only in the full tier; one test of the middle tier proves the same")
    config.addinivalue_line("markers", "few(n): the middle tier runs n of its sets of parameters, the full tier all")


def pytest_report_header(config: pytest.Config) -> str:
    seed = config.getoption("shuffle")
    return f"tier: {config.getoption('tier')}" + (f"; order of seed {seed}" if seed is not None else "")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The quick tier imports nothing that it does not run."""
    if config.getoption("tier") is not Tier.QUICK or collection_path.suffix != ".py":
        return None
    return True if collection_path.name.startswith("test_") and not is_unit(collection_path) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("tier") is not Tier.FULL:
        left_out = beyond_middle(items)
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in left_out])
        items[:] = [item for item in items if item.nodeid not in left_out]
    seed = config.getoption("shuffle")
    if seed is not None:
        random.Random(seed).shuffle(items)


def beyond_middle(items: Iterable[pytest.Item]) -> set[str]:
    """The ids of those that only the full tier runs."""
    found = set()
    cases: dict[str, list[tuple[str, Any]]] = defaultdict(list)
    """By test and parameters: the ids, each with the harness that it runs over."""
    few: dict[str, tuple[int, set[str]]] = {}
    """By test: how many sets of parameters the middle tier takes, and all that there are."""
    for item in items:
        if item.get_closest_marker("full"):
            found.add(item.nodeid)
            continue
        harness = _harness(item)
        case = item.nodeid.replace(harness.name, "*", 1) if harness else item.nodeid
        cases[case].append((item.nodeid, harness))
        if marker := item.get_closest_marker("few"):
            few.setdefault(case.partition("[")[0], (marker.args[0], set()))[1].add(case)
    for count, all_of_test in few.values():
        for case in by_chance(all_of_test)[count:]:
            found.update(nodeid for nodeid, _ in cases.pop(case))
    for case, over in cases.items():
        if over[0][1] is not None:
            met = met_in_middle(case, [harness for _, harness in over])
            found.update(nodeid for nodeid, harness in over if harness.name not in met)
    return found


def by_chance(names: Iterable[str]) -> list[str]:
    """In an order without a system that is the same in every run."""
    return sorted(names, key=lambda name: sha256(name.encode()).digest())


def _harness(item: pytest.Item) -> Any | None:
    """That of the contract suite (providers/testing/harness.py) which this test runs over."""
    if "tests/contract/" not in item.nodeid or not isinstance(item, pytest.Function):
        return None
    return item.callspec.params.get("harness") if hasattr(item, "callspec") else None
