"""Terminal encoding. The program runs in Python's UTF-8 mode, where each byte of a name is kept, whatever the shell's
locale is. The locale only decides what the terminal can show."""

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
"""For every Python process that the program starts."""
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
"""Our own symbols, each as one ASCII character."""


def ensure_utf8_mode() -> None:
    """Restart in UTF-8 mode if the interpreter was started without it (a locale that is not UTF-8, PYTHONUTF8=0).

    Arguments keep their bytes; open descriptors, the interpreter's options and the environment are kept. Restarts at
    most once: a Python that does not support it continues as it is.
    """
    if os.environ.pop(_TRIED, None) or sys.flags.utf8_mode or not sys.executable:
        return
    program = sys.orig_argv[1:]
    if not program or program[0] == "-":
        return  # a program from standard input has already been read
    arguments = _argument_bytes()[1:]
    os.environ[_TRIED] = "1"
    try:
        os.execv(sys.executable, [os.fsencode(word) for word in (sys.executable, *UTF8_OPTIONS)] + arguments)
    except OSError:
        del os.environ[_TRIED]


def _argument_bytes() -> list[bytes]:
    """The command line as bytes if the system reports it: not every locale can encode what it decoded."""
    try:
        words = Path("/proc/self/cmdline").read_bytes().split(b"\0")[:-1]
    except OSError:
        words = []
    return words if len(words) == len(sys.orig_argv) else [os.fsencode(word) for word in sys.orig_argv]


def terminal_encoding() -> str:
    """Python's name of the terminal's encoding, from the locale."""
    try:
        return codecs.lookup(locale.getencoding()).name
    except LookupError:
        return "ascii"


def set_up_streams() -> None:
    """Make every text writable: terminals get what they can show, files and pipes get UTF-8. Closed descriptors are
    opened to /dev/null."""
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
    """Standard output cannot be written to."""


class _Output(io.TextIOWrapper):
    """Standard output that distinguishes its failures from those of any other file."""

    def write(self, text: str, /) -> int:
        with _as_output_failure():
            return super().write(text)

    def flush(self) -> None:
        with _as_output_failure():
            super().flush()


@contextlib.contextmanager
def _as_output_failure() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailed(error.errno, error.strerror) from error


def _drawn(error: UnicodeError) -> tuple[str, int]:
    """Replace what cannot be encoded: our own symbols by one ASCII character each, anything else by escapes."""
    assert isinstance(error, UnicodeEncodeError)
    return "".join(_ascii(sign) for sign in error.object[error.start : error.end]), error.end


def _ascii(sign: str) -> str:
    return _DRAWN.get(sign) or ("*" if "\u2800" <= sign <= "\u28ff" else text.escaped(sign))


def hidden_line(prompt: str) -> str:
    """A line typed on the controlling terminal without echo, in the terminal's encoding. Raises OSError if there is no
    terminal, EOFError if the input ended without a line."""
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
