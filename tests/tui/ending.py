"""The program that test_ending runs on a real terminal: the console over stand-ins, which report a closed child."""

from __future__ import annotations

import sys

from textual.widgets import Static

from tests.tui.standin import StandInCore, StandInQuestions, console


def crash() -> None:
    password_in_a_local = "hunter" + "2-in-clear"
    raise RuntimeError(f"a fault in the console ({len(password_in_a_local)})")


async def leave_while_building() -> None:
    """Quit while a screen is still opening."""
    app.exit()
    await app.screen.mount(Static("too late"))


if __name__ == "__main__":
    questions = StandInQuestions()
    app = console(StandInCore(), questions)
    app.key_f12 = crash  # type: ignore[attr-defined]
    app.key_f11 = leave_while_building  # type: ignore[attr-defined]
    app.run()
    if questions.closed:
        sys.stderr.write("the child was closed\n")
    sys.exit(app.return_code)
