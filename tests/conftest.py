"""What all tests share: places on disk of their own, no keyring unless asked for, no skipping in CI."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from backup.system.paths import APP_NAME, Paths

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Begun in the background by a shell: the programs under test would inherit being deaf to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.tiers", "tests.servers.fixtures", "tests.credentials_fixture", "tests.guide_plug_in"]


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """Empty places below `tmp_path`, found by this process and its children through the XDG variables."""
    folders = {}
    for variable, name in (("XDG_CONFIG_HOME", "config"), ("XDG_STATE_HOME", "state"), ("XDG_DATA_HOME", "data")):
        folders[name] = tmp_path / "home" / name / APP_NAME
        monkeypatch.setenv(variable, str(folders[name].parent))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Paths(config_dir=folders["config"], state_dir=folders["state"], data_dir=folders["data"])


@pytest.fixture(autouse=True)
def _no_keyring_of_the_user(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """A test that wants a keyring asks for `secret_service`; any other finds no session bus."""
    if "secret_service_bus" not in request.fixturenames:
        monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture(autouse=True)
def _logs_closed() -> Iterator[None]:
    yield
    logs = sys.modules.get("backup.system.logs")
    if logs is not None:
        logs.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    # Logged names that are not UTF-8 would break the channel between pytest-xdist's processes.
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return _refuse_skip(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    return _refuse_skip(report)


def _refuse_skip(report: Report) -> Report:
    """With REQUIRE_ALL=1 (CI) whatever a test needs has to be there."""
    if os.environ.get("REQUIRE_ALL") == "1" and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but REQUIRE_ALL=1: {report.longrepr}"
    return report
