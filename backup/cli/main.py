"""The program: loads only the verb in use, and turns its errors into a message and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from backup import __version__
from backup.cli.naming import ARGV, PROGRAM, program_name, with_typed_name

if TYPE_CHECKING:
    from backup.cli.session import Session

VERBS: Final[dict[str, str]] = {
    "list-providers": "List the providers that are set up, and the services that could be.",
    "test-providers": "Check the connection of one or all providers, step by step.",
    "set-credentials": "Set the credentials of a provider, in the keyring or the vault.",
    "authorize": "Authorise a provider in a browser on any machine.",
    "remove-credentials": "Remove the credentials of a provider from the keyring or the vault.",
    "enable-provider": "Use a provider for transfers.",
    "disable-provider": "Stop using a provider for transfers.",
    "get-config": "Show the settings of one or all providers.",
    "set-config": "Change one setting; sets a provider up on first use.",
    "list": "List what is stored.",
    "upload": "Upload files and folders, and prove that they arrived.",
    "download": "Download files and folders, verified before they appear.",
    "delete": "Delete stored files.",
    "transfers": "Show, pause, resume, cancel and retry transfers.",
    "unfinished": "List and remove unfinished uploads at a provider.",
    "credentials": "Manage the credential store: unlock, move, import, unattended jobs.",
    "test-cycle": "Test a provider with a random file: upload, download, compare, delete.",
    "new-provider": "Create a new service: folder, README and test harness.",
    "doctor": "Check this machine, and look for double-encoded names.",
    "status": "Show where everything is kept, and what is running.",
}
"""Help line of every verb, so that --help loads none of them."""


class LazyGroup(click.Group):
    """Loads a verb's module when that verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[ARGV] = tuple(args)  # for hints that repeat the command line
        return super().parse_args(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"backup.cli.commands.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return with_typed_name(command, ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from backup.cli.diagnostics import epilog

        self.epilog = epilog()
        super().format_epilog(ctx, formatter)


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"{PROGRAM} {__version__}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--verbose", is_flag=True, help="Write more into the log files.")
@click.option(
    "--passphrase-fd",
    metavar="N",
    type=click.IntRange(min=0),
    help="Read the passphrase of the vault from file descriptor N, when it is needed.",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the version."
)
@click.pass_context
def program(ctx: click.Context, verbose: bool, passphrase_fd: int | None) -> None:
    """Home server backups: every transfer resumable, verified, and readable without this program.

    Without a command, opens the console.
    """
    if ctx.obj is None:
        from backup.cli.session import Session

        ctx.obj = Session()
    session: Session = ctx.obj
    session.verbose = verbose
    session.passphrase_fd = passphrase_fd
    ctx.call_on_close(session.close)
    if ctx.invoked_subcommand is None:
        ctx.exit(_open_console(ctx, session))


def _open_console(ctx: click.Context, session: Session) -> int:
    paths = session.paths
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        click.echo(ctx.get_help(), err=True)
        return 2
    session.check_state_folder()
    from tui.app import run

    return run(paths, command=ctx.info_name or PROGRAM)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code. `argv` excludes the program's name; default: that of this process,
    which then restarts in UTF-8 mode if needed."""
    from backup.system import terminal
    from backup.system.hardening import harden_process

    if argv is None:
        terminal.ensure_utf8_mode()
        terminal.set_up_streams()
    harden_process()
    return run(sys.argv[1:] if argv is None else argv, program_name(sys.argv[0]))


def run(argv: Sequence[str], prog: str, session: Session | None = None) -> int:
    """As `main`, with a given session."""
    try:
        outcome: Any = program.main(list(argv), prog_name=prog, standalone_mode=False, obj=session)
        sys.stdout.flush()  # a write error is found while it can still be reported
    except click.ClickException as error:
        from backup.cli import diagnostics

        return diagnostics.usage(error)
    except (click.exceptions.Abort, KeyboardInterrupt):
        from backup.cli import diagnostics

        diagnostics.note("interrupted")
        return diagnostics.ExitCode.INTERRUPTED
    except BrokenPipeError:
        _write_nowhere()
        return 1
    except Exception as error:  # the boundary of the process
        return _explain(error)
    return outcome if isinstance(outcome, int) else 0


def _write_nowhere() -> None:
    """Redirect stdout to /dev/null: the interpreter would try to write its buffer again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _explain(error: Exception) -> int:
    from backup.cli import diagnostics
    from backup.system.paths import Paths
    from backup.system.terminal import OutputFailed
    from providers.errors import NotFound, ProviderError

    if isinstance(error, OutputFailed):
        _write_nowhere()
        return diagnostics.output_failed(error)
    if isinstance(error, ProviderError):
        return diagnostics.report(error)
    if isinstance(error, FileNotFoundError) and not _has_current_folder():
        gone = NotFound("the current folder no longer exists", hint="Change to another folder, or give full paths.")
        return diagnostics.report(gone)
    try:
        logs = str(Paths.default().logs_dir)
    except ProviderError:
        logs = "the state folder"
    return diagnostics.unexpected(error, logs)


def _has_current_folder() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True
