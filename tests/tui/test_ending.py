"""The end of the console on a real terminal: terminal restored, child closed, no local variable shown."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.terminal.terminal import Terminal

ALTERNATE_SCREEN_OFF = b"\x1b[?1049l"


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    return Terminal([sys.executable, "-m", "tests.tui.ending"], environment=environment)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_console_cleanly(number: signal.Signals, terminal: Terminal) -> None:
    with terminal:
        terminal.wait_for("no transfers under way")
        terminal.process.send_signal(number)
        terminal.wait_for("the child was closed")
        assert terminal.wait_exit() == 0
        assert ALTERNATE_SCREEN_OFF in terminal.output


@pytest.mark.parametrize("key", ["q", "ctrl+q"])
def test_q_and_ctrl_q_leave(key: str, terminal: Terminal) -> None:
    with terminal:
        terminal.wait_for("no transfers under way")
        terminal.press(key)
        terminal.wait_for("the child was closed")
        assert terminal.wait_exit() == 0


def test_quitting_while_a_form_opens_does_not_crash(terminal: Terminal) -> None:
    with terminal:
        terminal.wait_for("no transfers under way")
        terminal.press("\x1b[23~")
        terminal.wait_for("the child was closed")
        assert terminal.wait_exit() == 0
        assert b"Traceback" not in terminal.output
        assert b"MountError" not in terminal.output


def test_a_crash_report_shows_no_local_variables(terminal: Terminal) -> None:
    with terminal:
        terminal.wait_for("no transfers under way")
        terminal.press("\x1b[24~")
        terminal.wait_for("a fault in the console", "the child was closed")
        assert terminal.wait_exit() == 1
        assert ALTERNATE_SCREEN_OFF in terminal.output
        assert b"hunter2-in-clear" not in terminal.output


def test_the_console_ends_when_its_terminal_disappears_without_a_signal(terminal: Terminal) -> None:
    with terminal:
        terminal.wait_for("no transfers under way")
        terminal.hang_up()
        terminal.wait_exit(20)
