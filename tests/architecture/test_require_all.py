"""REQUIRE_ALL=1, under which every tier runs: a skipped test fails.

Samples are collected and reported through the hooks of this test run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

IN_A_TEST = "import pytest\ndef test_it():\n    pytest.skip('no server here')\n"
BY_A_MARK = "import pytest\n@pytest.mark.skip(reason='no server here')\ndef test_it(): ...\n"
A_WHOLE_MODULE = "import pytest\npytest.skip('no server here', allow_module_level=True)\n"

Collected = Callable[[str], pytest.CollectReport]
Reported = Callable[[str], pytest.TestReport]


@pytest.fixture
def collected(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collected]:
    """The collection report of a module with this text."""
    monkeypatch.syspath_prepend(tmp_path)
    names: list[str] = []

    def collect(text: str) -> pytest.CollectReport:
        names.append(f"skipping_sample_{len(names)}")
        path = tmp_path / f"{names[-1]}.py"
        path.write_text(text)
        module = pytest.Module.from_parent(request.session, path=path)
        report: pytest.CollectReport = request.node.ihook.pytest_make_collect_report(collector=module)
        return report

    yield collect
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture
def reported(collected: Collected, request: pytest.FixtureRequest) -> Reported:
    """The report of the test in such a module."""

    def report(text: str) -> pytest.TestReport:
        (item,) = collected(text).result
        assert isinstance(item, pytest.Function)
        if item.get_closest_marker("skip"):  # pytest raises before any set-up, so this run is not affected
            call = pytest.CallInfo.from_call(lambda: request.node.ihook.pytest_runtest_setup(item=item), when="setup")
        else:
            call = pytest.CallInfo.from_call(item.obj, when="call")
        made: pytest.TestReport = request.node.ihook.pytest_runtest_makereport(item=item, call=call)
        return made

    return report


@pytest.mark.parametrize("text", [IN_A_TEST, BY_A_MARK], ids=["in a test", "by a mark"])
def test_a_skipped_test_fails_if_everything_is_required(
    reported: Reported, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("REQUIRE_ALL", "1")
    report = reported(text)
    assert report.failed
    assert "skipped, but REQUIRE_ALL=1" in str(report.longrepr)
    assert "no server here" in str(report.longrepr)


def test_a_skipped_module_fails_if_everything_is_required(
    collected: Collected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUIRE_ALL", "1")
    report = collected(A_WHOLE_MODULE)
    assert report.failed
    assert "skipped, but REQUIRE_ALL=1" in str(report.longrepr)
    assert "no server here" in str(report.longrepr)


def test_otherwise_a_skip_is_a_skip(collected: Collected, reported: Reported, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUIRE_ALL", "")
    assert reported(IN_A_TEST).skipped
    assert reported(BY_A_MARK).skipped
    assert collected(A_WHOLE_MODULE).skipped
