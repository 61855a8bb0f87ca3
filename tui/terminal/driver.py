"""Textual's terminal driver, extended to terminals without UTF-8."""

from __future__ import annotations

import codecs
from functools import partial

from textual.driver import Driver

from backup.system.terminal import terminal_encoding


def terminal_driver() -> type[Driver]:
    """The driver for this terminal.

    Textual decodes keys as strict UTF-8, and one invalid byte would end the console. This driver decodes keys in the
    terminal's encoding, and shows invalid bytes as such.
    """
    from textual.drivers import linux_driver

    class TerminalDriver(linux_driver.LinuxDriver):
        def run_input_thread(self) -> None:
            decoder = codecs.getincrementaldecoder(terminal_encoding())
            setattr(linux_driver, "getincrementaldecoder", lambda _: partial(decoder, errors="replace"))  # noqa: B010
            super().run_input_thread()

    return TerminalDriver
