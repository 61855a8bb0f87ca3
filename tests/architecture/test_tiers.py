"""The tiers of the suite (tests/tiers.py): each contract test runs over the disk and one service."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from tests.tiers import ALWAYS_MET, beyond_middle, is_unit, met_in_middle

TESTS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Named:
    """The parts of a harness that tiers use."""

    name: str
    wire: object = None


LOCAL = Named(ALWAYS_MET)
PLUG_IN = Named("acme")
WIRED = tuple(Named(name, object()) for name in ("s3 here", "s3 there", "b2", "dropbox", "drive"))


def test_the_disk_and_one_service_are_chosen() -> None:
    for number in range(200):
        met = met_in_middle(f"test {number}", [LOCAL, PLUG_IN, *WIRED])
        assert LOCAL.name in met
        assert sum(harness.name in met for harness in WIRED) == 1


def test_without_a_service_all_harnesses_are_chosen() -> None:
    assert met_in_middle("test", [PLUG_IN]) >= {PLUG_IN.name}
    assert met_in_middle("test", [LOCAL, PLUG_IN]) >= {LOCAL.name, PLUG_IN.name}


def test_every_service_gets_its_share() -> None:
    met = Counter(name for number in range(600) for name in met_in_middle(f"test {number}", [LOCAL, PLUG_IN, *WIRED]))
    assert met[LOCAL.name] == 600
    assert all(met[harness.name] > 80 for harness in (PLUG_IN, *WIRED))


def test_a_new_service_changes_only_the_tests_that_move_to_it() -> None:
    before, after = WIRED[:-1], WIRED
    for number in range(100):
        now = met_in_middle(f"test {number}", after)
        assert WIRED[-1].name in now or now == met_in_middle(f"test {number}", before)


def test_every_contract_test_is_in_the_middle_tier(request: pytest.FixtureRequest) -> None:
    """No collected test function is left to the full tier for all its harnesses."""
    items = request.session.items
    left_out = beyond_middle(items)
    kept: dict[str, set[bool]] = defaultdict(set)
    for item in items:
        if "tests/contract/" in item.nodeid:
            kept[item.nodeid.partition("[")[0]].add(item.nodeid not in left_out)
    assert [test for test, states in kept.items() if states == {False}] == []


@dataclass(frozen=True)
class Item:
    """The parts of a test that tiers use."""

    nodeid: str
    mark: pytest.Mark | None = None

    def get_closest_marker(self, name: str) -> pytest.Mark | None:
        return self.mark if self.mark is not None and self.mark.name == name else None


def left_out(*items: Item) -> set[str]:
    return beyond_middle(cast(list[pytest.Item], items))


def test_a_test_marked_few_runs_that_many_parameter_sets_in_the_middle_tier() -> None:
    nine = [Item(f"tests/a.py::test_nine[{number}]", pytest.mark.few(2).mark) for number in range(9)]
    other = Item("tests/a.py::test_other[1]", pytest.mark.few(2).mark)
    assert len(left_out(*nine, other)) == 7
    assert other.nodeid not in left_out(*nine, other)
    assert left_out(*reversed(nine)) == left_out(*nine)


def test_tests_marked_full_are_left_to_the_full_tier() -> None:
    assert left_out(Item("a", pytest.mark.full.mark), Item("b")) == {"a"}


def test_unit_test_modules_mention_no_server_process_or_console() -> None:
    modules = [path for path in TESTS.rglob("test_*.py") if is_unit(path)]
    assert len(modules) > 30
    assert not {path.parent.name for path in modules} & {"terminal", "security", "servers"}
    assert TESTS / "providers" / "test_digests.py" in modules
    assert TESTS / "backup" / "test_worker.py" not in modules
