"""Names are bytes, whatever the locale of the shell: this program runs in Python's UTF-8 mode, where each byte of a
name comes through. What the terminal can show is another question, and the locale answers it."""

from __future__ import annotations

import codecs
import contextlib
import io
import locale
import os
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from backup.system import text

UTF8_OPTIONS: Final = ("-X", "utf8")
"""For every Python that we start."""
_TRIED: Final = "HOMESERVER_BACKUP_UTF8"
_ERRORS: Final = "homeserver-backup-terminal"
_LONGEST_LINE: Final = 4096
_DRAWN: Final[dict[str, str]] = {
    **dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼╔╗╚╝", "+"),
    **dict.fromkeys("─━═╌–—╸╺", "-"),
    **dict.fromkeys("│┃║▏▎▍▌▐▕", "|"),
    **dict.fromkeys("█▉▊▋▇▆▅▄▃▂▁▀■", "#"),
    **dict.fromkeys("░▒▓·•…", "."),
    **dict.fromkeys("●◆◷", "*"),
    **dict.fromkeys("▲↑", "^"),
    **dict.fromkeys("▼↓", "v"),
    **dict.fromkeys("→▶↵", ">"),
    **dict.fromkeys("←◀", "<"),
    **dict.fromkeys("✖×", "x"),
    "✔": "+",
    "‖": '"',
}
"""Signs of our own, each as one cell of ASCII."""


def ensure_utf8_mode() -> None:
    """Begin again in UTF-8 mode where the interpreter was started without (a locale that is not UTF-8, PYTHONUTF8=0).

    Arguments keep their bytes, and open descriptors, the interpreter's options and the environment stay. Never more
    than once: a Python that cannot do it goes on as it is.
    """
    if os.environ.pop(_TRIED, None) or sys.flags.utf8_mode or not sys.executable:
        return
    program = sys.orig_argv[1:]
    if not program or program[0] == "-":
        return  # a program from standard input is read already
    arguments = _argument_bytes()[1:]
    os.environ[_TRIED] = "1"
    try:
        os.execv(sys.executable, [os.fsencode(word) for word in (sys.executable, *UTF8_OPTIONS)] + arguments)
    except OSError:
        del os.environ[_TRIED]


def _argument_bytes() -> list[bytes]:
    """The command line, byte by byte where the system tells: not every locale gives back what it decoded."""
    try:
        told = Path("/proc/self/cmdline").read_bytes().split(b"\0")[:-1]
    except OSError:
        told = []
    return told if len(told) == len(sys.orig_argv) else [os.fsencode(word) for word in sys.orig_argv]


def terminal_encoding() -> str:
    """Python's name of what the terminal takes and gives, as the locale says."""
    try:
        return codecs.lookup(locale.getencoding()).name
    except LookupError:
        return "ascii"


def set_up_streams() -> None:
    """Let no text fail to be written: terminals get what they can show, files and pipes get UTF-8. Descriptors that
    were closed lead nowhere."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number, which is this one
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for the life of the process
    buffer = open(1, "wb", closefd=False) if sys.stdout is None else sys.stdout.buffer  # noqa: SIM115
    shown = os.isatty(1)
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    encoding = terminal_encoding()
    codecs.register_error(_ERRORS, _drawn)
    if shown:
        text.limit_to(encoding)
    sys.stdout = _Output(buffer, encoding=encoding if shown else "utf-8", errors=_ERRORS, line_buffering=shown)
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(encoding=encoding if sys.stderr.isatty() else "utf-8", errors=_ERRORS)
    if isinstance(sys.stdin, io.TextIOWrapper) and sys.stdin.isatty():
        sys.stdin.reconfigure(encoding=encoding, errors="surrogateescape")


class OutputFailed(OSError):
    """Standard output takes no more."""


class _Output(io.TextIOWrapper):
    """Standard output whose failures are told from those of any other file."""

    def write(self, text: str, /) -> int:
        with _telling_apart():
            return super().write(text)

    def flush(self) -> None:
        with _telling_apart():
            super().flush()


@contextlib.contextmanager
def _telling_apart() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailed(error.errno, error.strerror) from error


def _drawn(error: UnicodeError) -> tuple[str, int]:
    """What cannot be encoded: signs of our own as one cell of ASCII, anything else escaped, as names were before."""
    assert isinstance(error, UnicodeEncodeError)
    return "".join(_ascii(sign) for sign in error.object[error.start : error.end]), error.end


def _ascii(sign: str) -> str:
    return _DRAWN.get(sign) or ("*" if "\u2800" <= sign <= "\u28ff" else text.escaped(sign))


def hidden_line(prompt: str) -> str:
    """A line typed on the controlling terminal, not shown, in the terminal's own encoding. Raises OSError where there
    is no terminal, EOFError when the line was ended without anything."""
    terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        before = termios.tcgetattr(terminal)
        silent = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
        os.write(terminal, prompt.encode(terminal_encoding(), "replace"))
        try:
            termios.tcsetattr(terminal, termios.TCSAFLUSH, silent)
            typed = os.read(terminal, _LONGEST_LINE)
        finally:
            termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
            os.write(terminal, b"\n")
    finally:
        os.close(terminal)
    if not typed:
        raise EOFError
    return typed.rstrip(b"\r\n").decode(terminal_encoding(), "surrogateescape")
