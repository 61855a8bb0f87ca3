"""The worker's wake-up calls come from any thread, and from a signal handler at any moment."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from backup.worker.wakeup import Wakeup

HAMMERED = """
import faulthandler, signal, sys
from backup.worker.wakeup import Wakeup
faulthandler.dump_traceback_later(20, exit=True)
woken, calls = Wakeup(), 0
def call(*_):
    global calls
    calls += 1
    woken.set()
    if calls < 20_000:
        signal.setitimer(signal.ITIMER_REAL, 20e-6)
signal.signal(signal.SIGALRM, call)
signal.setitimer(signal.ITIMER_REAL, 20e-6)
while calls < 20_000:
    woken.clear()
    woken.wait(1e-6)
print("through")
"""


def test_a_signal_at_any_moment_of_waiting_causes_no_deadlock() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HAMMERED], cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "through\n"), done.stderr


def test_a_call_ends_the_current_wait_or_the_next_one() -> None:
    woken = Wakeup()
    caller = threading.Thread(target=woken.set)
    caller.start()
    assert woken.wait(20)
    caller.join()
    woken.set()
    woken.set()
    assert woken.wait(20)


def test_a_wait_without_a_call_ends_and_a_cleared_call_is_gone() -> None:
    woken = Wakeup()
    assert not woken.wait(0.001)
    for _ in range(3):
        woken.set()
    woken.clear()
    assert not woken.wait(0)
