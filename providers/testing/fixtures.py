"""Fixtures and hooks that run contract tests over harnesses. A conftest.py imports them:

from providers.testing.fixtures import *

def pytest_generate_tests(metafunc):
    over(metafunc, [HARNESS])
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from providers.testing.harness import Harness, Root

__all__ = ["learnt", "over", "pytest_collection_modifyitems", "pytest_configure", "root"]

_MARKS = (
    "needs(fits): the test runs only over harnesses that fit (providers/testing/needs.py)",
    "cases(names, of): the test runs over each case of each harness (providers/testing/needs.py)",
    "applies_to_none: no harness fits; the test is deselected",
    "few(n): a shorter run may take n of its sets of parameters",
)


def pytest_configure(config: pytest.Config) -> None:
    for mark in _MARKS:
        config.addinivalue_line("markers", mark)


def over(metafunc: pytest.Metafunc, harnesses: Iterable[Harness]) -> None:
    """Parametrise a test that takes `root` or `harness` over the harnesses that fit, unless it names its own."""
    if "harness" not in metafunc.fixturenames:
        return
    find = metafunc.definition.iter_markers
    if any("harness" in mark.args[0] for mark in find("parametrize")):
        return
    needed = [mark.args[0] for mark in find("needs")]
    fitting = [harness for harness in harnesses if not harness.to_do and all(fits(harness) for fits in needed)]
    names: tuple[str, ...] = ()
    found = [pytest.param(harness, id=harness.name) for harness in fitting]
    for mark in find("cases"):
        names, of = mark.args
        found = [
            pytest.param(harness, *values, id=f"{harness.name}-{case}")
            for harness in fitting
            for case, values in of(harness)
        ]
    none = pytest.param(None, *(None for _ in names), id="none", marks=pytest.mark.applies_to_none)
    metafunc.parametrize(("harness", *names), found or [none])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test that does not apply is deselected, never skipped."""
    left_out = [item for item in items if item.get_closest_marker("applies_to_none")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture
def root(harness: Harness, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Root]:
    """A fresh container of this harness."""
    with harness.open(request.getfixturevalue, tmp_path) as opened:
        yield opened


@pytest.fixture
def learnt(root: Root) -> None:
    """The provider already knows what this server enforces: those requests are not counted."""
    root.ready()
