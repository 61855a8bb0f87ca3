"""The only writer to stderr: notes, and errors as what / why / fix. The only source of exit codes."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import Final

import click

from backup.cli.remedies import advice
from backup.system.text import safe
from providers.contract.report import ErrorInfo
from providers.errors import ProviderError, from_os_error

_LOG: Final = logging.getLogger(__name__)


class ExitCode(IntEnum):
    """Stable: scripts may rely on them."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    CONFIGURATION = 3
    CREDENTIAL_STORE = 4
    AUTHENTICATION = 5
    PERMISSION = 6
    NOT_FOUND = 7
    CONFLICT = 8
    QUOTA = 9
    NETWORK = 10
    INTEGRITY = 11
    UNSUPPORTED = 12
    CANCELLED = 13
    QUEUED = 14
    FAILED_SINCE = 15
    INTERRUPTED = 130


MEANINGS: Final[dict[ExitCode, str]] = {
    ExitCode.OK: "done, and verified where bytes moved",
    ExitCode.FAILURE: "failed for another reason, or several items failed for different ones",
    ExitCode.USAGE: "the command line is wrong",
    ExitCode.CONFIGURATION: "a setting is missing or wrong, or there is no such provider",
    ExitCode.CREDENTIAL_STORE: "no usable credential store, or it is locked",
    ExitCode.AUTHENTICATION: "the service did not accept the credentials (or the clock)",
    ExitCode.PERMISSION: "the credentials, or this account, may not do this",
    ExitCode.NOT_FOUND: "the file, object or container is not there",
    ExitCode.CONFLICT: "something else is there already, or changed meanwhile",
    ExitCode.QUOTA: "no room left at the destination",
    ExitCode.NETWORK: "service unreachable, too slow or busy; worth another try",
    ExitCode.INTEGRITY: "bytes or checksums do not match",
    ExitCode.UNSUPPORTED: "this service cannot do that, or cannot hold that name",
    ExitCode.CANCELLED: "stopped on request, or not confirmed",
    ExitCode.QUEUED: "queued, not followed: the worker does not answer now; do not queue it again",
    ExitCode.FAILED_SINCE: "transfers have failed since the time given with --since",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C)",
}

_BY_KIND: Final[dict[str, ExitCode]] = {
    "configuration": ExitCode.CONFIGURATION,
    "authentication": ExitCode.AUTHENTICATION,
    "permission": ExitCode.PERMISSION,
    "not_found": ExitCode.NOT_FOUND,
    "conflict": ExitCode.CONFLICT,
    "quota": ExitCode.QUOTA,
    "rate_limited": ExitCode.NETWORK,
    "transient": ExitCode.NETWORK,
    "connection_lost": ExitCode.NETWORK,
    "timed_out": ExitCode.NETWORK,
    "integrity": ExitCode.INTEGRITY,
    "name": ExitCode.UNSUPPORTED,
    "unsupported": ExitCode.UNSUPPORTED,
    "cancelled": ExitCode.CANCELLED,
}

_STORE_KINDS: Final = ("credential_store", "vault", "keyring", "passphrase")
"""Errors of a store share one exit code; `kind` tells them apart."""

_TITLES: Final[dict[ExitCode, str]] = {
    ExitCode.CONFIGURATION: "the configuration is wrong",
    ExitCode.CREDENTIAL_STORE: "the credential store cannot be used",
    ExitCode.AUTHENTICATION: "the credentials were not accepted",
    ExitCode.PERMISSION: "this is not permitted",
    ExitCode.NOT_FOUND: "it is not there",
    ExitCode.CONFLICT: "something else is in the way",
    ExitCode.QUOTA: "there is no room left",
    ExitCode.NETWORK: "the service cannot be reached, or does not answer as it should",
    ExitCode.INTEGRITY: "the bytes do not match",
    ExitCode.UNSUPPORTED: "this cannot be done there",
    ExitCode.CANCELLED: "stopped",
}


def exit_code(kind: str) -> ExitCode:
    """The exit code of an error's `kind`; 1 for kinds without one of their own."""
    if kind.startswith(_STORE_KINDS):
        return ExitCode.CREDENTIAL_STORE
    return _BY_KIND.get(kind, ExitCode.FAILURE)


def combined(kinds: Iterable[str]) -> ExitCode:
    """One exit code for several failures: theirs when they agree, else 1; 0 when there are none."""
    codes = {exit_code(kind) for kind in kinds}
    if not codes:
        return ExitCode.OK
    return codes.pop() if len(codes) == 1 else ExitCode.FAILURE


def epilog() -> str:
    """The table of exit codes, for `--help`."""
    rows = "\n".join(f"  {code.value:>3}  {MEANINGS[code]}" for code in ExitCode)
    return (
        "\b\nExit codes:\n" + rows + "\n\n"
        "Secrets are typed at a prompt or read from standard input, never given as arguments. With --json, standard "
        "output holds one JSON document and messages go to standard error. NO_COLOR is honoured."
    )


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Report errors raised inside as 'cannot `what`'; the innermost `what` wins."""
    try:
        yield
    except ProviderError as error:
        if not getattr(error, "__notes__", None):
            error.add_note(f"cannot {what}")
        raise


def note(text: str) -> None:
    """Print one line, escaped; also if the output is JSON or piped."""
    _write(safe(text))


def _write(text: str) -> None:
    """Write `text` unescaped. A failure cannot be reported anywhere, so it is ignored."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)  # noqa: T201


def output_failed(error: OSError) -> ExitCode:
    """Report that standard output cannot be written. Its text is lost; what was done stays done."""
    reason = from_os_error(error, "standard output")
    code = exit_code(reason.kind)
    hint = "Queued transfers continue; see: transfers list. Write the output elsewhere, or free some space."
    explain("the output cannot be written", ErrorInfo(reason.kind, reason.message, hint))
    return code


def address(url: str) -> None:
    """Print an address on its own line: a link on a terminal, plain text elsewhere."""
    plain = safe(url)
    linked = sys.stderr.isatty() and plain == url and url.startswith(("https://", "http://"))
    _write(f"\x1b]8;;{url}\x1b\\{url}\x1b]8;;\x1b\\" if linked else plain)


def qr_code(rows: Sequence[str]) -> None:
    """Print a QR code of `backup.system.qr`, black on white in any colour scheme; nothing if it does not fit."""
    if not sys.stderr.isatty() or not rows:
        return
    columns = shutil.get_terminal_size().columns
    if len(rows[0]) > columns:
        note(f"(a terminal of {len(rows[0])} columns would show a QR code here)")
        return
    for row in rows:
        _write(f"\x1b[97;40m{row}\x1b[0m")


def warn(text: str) -> None:
    note(f"warning: {text}")


def usage(error: click.ClickException) -> int:
    """Print Click's message with the typed text escaped. Returns the exit code."""
    if isinstance(error, click.MissingParameter):  # repeats nothing typed, and has several lines
        error.show()
    elif isinstance(error, click.UsageError):
        click.UsageError(safe(error.format_message()), error.ctx).show()
    else:
        click.ClickException(safe(error.format_message())).show()
    return error.exit_code


def report(error: ProviderError) -> ExitCode:
    """Print what happened, why, and what to do. Returns the exit code."""
    info = ErrorInfo.of(error)
    code = exit_code(info.kind)
    _LOG.info("%s: %r", "; ".join(getattr(error, "__notes__", [])), error)
    what = next(iter(getattr(error, "__notes__", [])), "") or _TITLES.get(code, "it failed")
    explain(what, info)
    return code


def explain(what: str, info: ErrorInfo) -> None:
    """Print an error as three lines: what, why, fix. Without a fix, two lines."""
    ours = info.kind == "configuration" or info.kind.startswith(_STORE_KINDS)  # its code is ours
    service_code = f" [{info.code}]" if info.code and not ours and info.code not in info.message else ""
    note(f"error: {what}")
    note(f"  why: {info.message}{service_code}")
    if fix := advice(info):
        note(f"  fix: {fix}")


def unexpected(error: BaseException, logs: str) -> ExitCode:
    """Report a bug in this program. The text of the exception goes to the log only, because it may hold anything."""
    _LOG.error("unexpected %s", type(error).__name__, exc_info=error)
    explain(
        "something unexpected happened",
        ErrorInfo("provider", f"internal error ({type(error).__name__})", f"The log in {logs} has the details."),
    )
    return ExitCode.FAILURE
