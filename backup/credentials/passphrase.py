"""Sources of a passphrase or key: a hidden prompt, a file descriptor, a command, systemd, a key file.

Never an argument or an environment variable: other users of the machine can read those. Every wait and every read is
limited, and no error repeats the text read.
"""

from __future__ import annotations

import getpass
import os
import selectors
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from backup.credentials.vault_file.errors import PassphraseError
from backup.credentials.vault_file.slots import RawKey
from backup.system.terminal import hidden_line, terminal_encoding
from providers.secret import Secret

CREDENTIAL_NAME: Final = "homeserver-backup-vault-key"
"""systemd's name for the key: a file in $CREDENTIALS_DIRECTORY."""
COMMAND_TIMEOUT_S: Final = 30.0
_LONGEST_LINE: Final = 4096
_LONGEST_OUTPUT: Final = 2**20


def ask_terminal(prompt: str) -> str:
    """Ask with a hidden prompt on the terminal of this process, even if standard input and output are redirected.
    Raises PassphraseError if there is no terminal."""
    try:
        os.close(
            os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
        )  # without a terminal getpass would read standard input and echo it
    except OSError:
        if not sys.stdin.isatty():  # it is in some containers and after setsid; getpass then uses it
            raise PassphraseError("there is no terminal to ask for the passphrase on") from None
    try:
        if terminal_encoding() != "utf-8":  # getpass always reads UTF-8
            return hidden_line(f"{prompt}: ")
        return getpass.getpass(f"{prompt}: ")
    except EOFError:
        raise PassphraseError("no passphrase was typed") from None


def from_prompt(prompt: str = "Passphrase of the vault", *, ask: Callable[[str], str] = ask_terminal) -> Secret:
    return _not_empty(ask(prompt), "no passphrase was typed")


def new_from_prompt(prompt: str = "New passphrase", *, ask: Callable[[str], str] = ask_terminal) -> Secret:
    """Ask twice. Raises PassphraseError if the two differ."""
    first = from_prompt(prompt, ask=ask)
    if from_prompt("Type it again", ask=ask) != first:
        raise PassphraseError("the two passphrases differ", hint="Type the same one twice.")
    return first


def from_fd(number: int, *, timeout_s: float = COMMAND_TIMEOUT_S) -> Secret:
    """The first line of a file descriptor, at most 4096 bytes, within `timeout_s`. Closes the descriptor."""
    if number in (1, 2):
        raise PassphraseError(f"file descriptor {number} is for output", hint="Use 0, or 3 and above.")
    try:
        if os.isatty(number):
            raise PassphraseError(f"file descriptor {number} is a terminal, which would show what is typed")
        return _first_line(
            _read(number, time.monotonic() + timeout_s, _LONGEST_LINE, b"\n"), f"file descriptor {number}"
        )
    except TimeoutError:
        raise PassphraseError(f"no data on file descriptor {number} within {timeout_s:g} s") from None
    except OSError as error:
        raise PassphraseError(f"file descriptor {number} cannot be read: {error.strerror}") from None
    finally:
        _close(number)


def from_command(argv: Sequence[str], *, timeout_s: float = COMMAND_TIMEOUT_S) -> Secret:
    """The first line printed by `password_command`, run without shell and input, in this process's environment.

    Its standard error is discarded, because it may hold a secret. After `timeout_s` it is killed with its children.
    """
    if (
        isinstance(argv, str)
        or not argv
        or not all(isinstance(word, str) and "\0" not in word for word in argv)
        or not argv[0]
    ):
        raise PassphraseError(
            "password_command is not a list of words", hint='Write it as a list: ["pass", "show", "backup"].'
        )
    try:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        raise PassphraseError(f"password_command: {argv[0]} cannot be run: {error.strerror}", hint=_TRY) from None
    try:
        return _output(process, argv[0], timeout_s)
    finally:
        _end(process)


_TRY: Final = "Run it by hand as the same user, without a terminal (setsid)."


def _output(process: subprocess.Popen[bytes], name: str, timeout_s: float) -> Secret:
    assert process.stdout is not None
    deadline = time.monotonic() + timeout_s
    try:
        printed = _read(process.stdout.fileno(), deadline, _LONGEST_OUTPUT)
        status = process.wait(max(0.0, deadline - time.monotonic()))
    except (TimeoutError, subprocess.TimeoutExpired):
        raise PassphraseError(f"password_command: {name} did not finish within {timeout_s:g} s", hint=_TRY) from None
    if status != 0:
        how = f"ended with exit code {status}" if status > 0 else f"was ended by {signal.Signals(-status).name}"
        raise PassphraseError(f"password_command: {name} {how}", hint=_TRY)
    return _first_line(printed, f"password_command: {name}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the command and its children, which share a session of their own."""
    if process.stdout is not None:
        process.stdout.close()
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def systemd_key_path(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The file with the key that systemd gave this unit (LoadCredential=, LoadCredentialEncrypted=), or None."""
    folder = environment.get("CREDENTIALS_DIRECTORY")
    path = Path(folder) / CREDENTIAL_NAME if folder else None
    return path if path and path.exists() else None


def systemd_key(environment: Mapping[str, str] = os.environ) -> RawKey | None:
    """The key that systemd gave this unit; None without one."""
    path = systemd_key_path(environment)
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            return RawKey.parse(file.read(_LONGEST_LINE))
    except OSError as error:
        raise PassphraseError(f"the credential {path} cannot be read: {error.strerror}") from None


def read_key_file(path: Path) -> RawKey:
    """A key from a regular file of this user that no other user can access. Raises PassphraseError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise PassphraseError(f"the key file {path} cannot be read: {error.strerror}") from None
    try:
        _check_key_file(path, os.fstat(descriptor))
        return RawKey.parse(os.read(descriptor, _LONGEST_LINE))
    except OSError as error:
        raise PassphraseError(f"the key file {path} cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)


def _check_key_file(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise PassphraseError(f"the key file {path} is not a regular file")
    if status.st_uid != os.geteuid():
        raise PassphraseError(f"the key file {path} belongs to another user", hint=f"chown it to uid {os.geteuid()}.")
    if status.st_mode & 0o077:
        raise PassphraseError(
            f"others may read or write the key file {path} (mode {stat.S_IMODE(status.st_mode):04o})",
            hint="If others use this machine, replace the key; otherwise: chmod 600",
        )


def write_key_file(path: Path, key: RawKey) -> None:
    """Write a new key file (0600), synced to disk. Raises PassphraseError, also if the path exists already."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise PassphraseError(
            f"the key file {path} cannot be created: {error.strerror}", hint="Choose another path."
        ) from None
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(key.text().reveal() + "\n")
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise PassphraseError(
            f"the key file {path} cannot be written: {error.strerror}", hint="Check the disk."
        ) from None


def unattended_key(key_file: Path | None = None, environment: Mapping[str, str] = os.environ) -> RawKey | None:
    """The key for unattended jobs: systemd's, else the key file's. None if neither is set up."""
    return systemd_key(environment) or (read_key_file(key_file) if key_file else None)


def _read(descriptor: int, deadline: float, limit: int, until: bytes = b"") -> bytes:
    """Read up to the end, or to `until`. Raises TimeoutError; PassphraseError beyond `limit` bytes."""
    data = b""
    with selectors.DefaultSelector() as selector:
        waits = _selectable(selector, descriptor)
        while not (until and until in data):
            if waits and not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
            chunk = os.read(descriptor, 65536)
            if not chunk:
                break
            data += chunk
            if len(data) > limit and not (until and until in data):
                raise PassphraseError(f"got more than {limit} bytes instead of a passphrase")
    return data


def _selectable(selector: selectors.BaseSelector, descriptor: int) -> bool:
    try:
        selector.register(descriptor, selectors.EVENT_READ)
    except PermissionError:  # epoll refuses regular files, which never block
        return False
    return True


def _first_line(data: bytes, where: str) -> Secret:
    line = data.split(b"\n", 1)[0].removesuffix(b"\r")
    return _not_empty(line.decode("utf-8", "surrogateescape"), f"{where}: its first line is empty")


def _not_empty(text: str, otherwise: str) -> Secret:
    if not text:
        raise PassphraseError(otherwise)
    return Secret(text)


def _close(number: int) -> None:
    """Close a descriptor. 0 is replaced by /dev/null, so that the next opened file does not become standard input."""
    try:
        if number == 0:
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.close(null)
        else:
            os.close(number)
    except OSError:
        return
