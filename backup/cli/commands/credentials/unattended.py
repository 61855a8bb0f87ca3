"""`credentials unattended`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from backup.cli import diagnostics
from backup.cli.output import Output
from backup.cli.session import Session, json_option, pass_session, passphrase_option
from backup.credentials.unattended.setup import WantedSetup, words_of
from backup.credentials.unattended.units import Setup, UnitVerdict, Variant

_VARIANTS: Final = {
    "systemd": Variant.SYSTEMD_CREDENTIAL,
    "key-file": Variant.KEY_FILE,
    "command": Variant.PASSWORD_COMMAND,
}
_NOT_SEEN: Final = {Variant.SYSTEMD_CREDENTIAL: "see: systemctl list-timers homeserver-backup.timer"}


@click.command("unattended")
@click.argument("how", type=click.Choice(list(_VARIANTS)), required=False)
@click.option("--key-file", type=click.Path(path_type=Path), help="key-file: file to write the key to (0600).")
@click.option(
    "--password-command",
    metavar="COMMAND",
    help='command: prints the passphrase, given as one argument: "pass show backup". Runs without a shell.',
)
@click.option(
    "--units", type=click.Path(path_type=Path), metavar="FOLDER", help="Write systemd units into this folder."
)
@click.option("--resume", is_flag=True, help="Write a user unit that resumes the queue after each boot, not a timer.")
@click.option("--at", "on_calendar", default="daily", show_default=True, help="When the timer runs (systemd.time).")
@click.option(
    "--job", default="", metavar="COMMAND", help='Command to run: "upload /srv --provider b2". Default: transfers wait.'
)
@click.option("--user", default=None, help="User of the system service; default: you.")
@click.option("--replace", is_flag=True, help="Replace units of the same name.")
@click.option("--print-key", is_flag=True, help="Add a slot and print its key, for a pipe into systemd-creds.")
@passphrase_option
@json_option
@pass_session
def unattended(
    session: Session,
    output: Output,
    how: str | None,
    key_file: Path | None,
    password_command: str | None,
    units: Path | None,
    resume: bool,
    on_calendar: str,
    job: str,
    user: str | None,
    replace: bool,
    print_key: bool,
) -> None:
    """Let unattended jobs (timers, cron, boot) open the vault.

    \b
    systemd    a key of its own, encrypted for this machine by systemd-creds (LoadCredentialEncrypted=)
    key-file   a key in a file that only you can read (0600); also for cron and user units
    command    the passphrase from a program of yours (password_command), such as pass

    Without HOW: show what is set up. You enable the units yourself; the commands are shown.

    \b
    JSON: {"variant", "protects", "units": [{"path", "state"}], "verified", "says", "commands", "notes"}
    """
    if print_key:
        return _print_key(session)
    if how is None:
        return _show(session, output)
    variant = _VARIANTS[how]
    wanted = WantedSetup(
        variant=variant,
        key_file=key_file,
        password_command=words_of(password_command or "", "password_command"),
        folder=units,
        resume=resume,
        on_calendar=on_calendar,
        job=words_of(job, "job") or ("transfers", "wait"),
        user=user or "",
        replace=replace,
    )
    with diagnostics.doing("set up unattended jobs"):
        session.open_store()
        made = session.core.credentials.set_up_unattended(wanted)
    output.line(made.setup.protects)
    for path, state in made.written.items():
        output.line(f"{state.value}: {path}")
    _show_commands(output, made.setup, made.verdict)
    output.document(
        {
            "variant": variant,
            "protects": made.setup.protects,
            "units": [{"path": str(path), "state": state} for path, state in made.written.items()],
            "verified": made.verdict.ok,
            "says": made.verdict.says,
            "commands": made.commands,
            "notes": made.setup.notes,
        }
    )


def _show_commands(output: Output, setup: Setup, verdict: UnitVerdict) -> None:
    if verdict.ok:
        output.line("systemd-analyze verify: ok")
    elif verdict.says:
        diagnostics.warn(verdict.says if verdict.ok is None else f"systemd-analyze verify: {verdict.says}")
    if setup.units and verdict != UnitVerdict(ok=None):
        output.line("now run:")
        for line in setup.commands:
            output.line(f"  {line}")
    for note in setup.notes:
        output.line(note)


def _print_key(session: Session) -> None:
    """Print the key to a pipe only: a key on a screen, or in a readable file, is no longer secret."""
    if sys.stdout.isatty():
        raise click.UsageError("the key is for a pipe: ... --print-key | sudo systemd-creds encrypt ...")
    with diagnostics.doing("add a slot to the vault"):
        session.open_store()
        key = session.core.credentials.add_key_slot("systemd")
    sys.stdout.write(key.reveal() + "\n")


def _show(session: Session, output: Output) -> None:
    ways = {way.variant: way for way in session.core.credentials.unattended_ways()}
    output.document({"ways": list(ways.values())})
    output.table(
        ["HOW", "SET UP", "PROTECTS"],
        [[how, ways[each].set_up or _NOT_SEEN.get(each, "no"), ways[each].protects] for how, each in _VARIANTS.items()],
    )


COMMANDS: Final = {"unattended": unattended}
