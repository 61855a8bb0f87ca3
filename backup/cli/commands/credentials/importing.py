"""`credentials import`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from backup.cli import diagnostics
from backup.cli.output import Output
from backup.cli.session import Session, json_option, pass_session, passphrase_option, stdin_is_terminal
from backup.credentials.imports import Findings
from backup.importing import Applied, ImportSource
from backup.text import count
from providers.os_errors import from_os_error

_MOST_CHARACTERS: Final = 16 * 2**20
_AWS: Final = "~/.aws"


@click.command("import")
@click.argument("source", type=click.Choice([source.value for source in ImportSource]))
@click.argument("file", required=False)
@click.option("--only", "only", multiple=True, metavar="NAME", help="Only this one of what is found; may be repeated.")
@click.option("--dry-run", is_flag=True, help="Only show what is found.")
@click.option("--keep-secrets", is_flag=True, help="json: leave the secrets in the file as they are.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@passphrase_option
@json_option
@pass_session
def import_(
    session: Session,
    output: Output,
    source: str,
    file: str | None,
    only: tuple[str, ...],
    dry_run: bool,
    keep_secrets: bool,
    yes: bool,
) -> None:
    """Take providers over, their secrets straight into the store.

    \b
    json FILE     an earlier program's configuration; its secrets are made empty in the file after a question
    aws [FILE]    ~/.aws/credentials (and ~/.aws/config)
    rclone        what `rclone config dump` prints, on standard input:
                  rclone config dump | homeserver-backup credentials import rclone --yes

    Providers that are there already are never changed. What is taken over is disabled until a check has passed.

    \b
    JSON: {"found": [{"source", "name", "service", "secrets", "notes"}], "skipped": [{"source", "reason"}],
    "saved": [{"source", "name", "secrets", "notes"}], "blanked"}
    """
    kind = ImportSource(source)
    text, config_text, path = _read(kind, file)
    with diagnostics.doing(f"read what is to be taken over from {path or 'standard input'}"):
        found = session.service.import_findings(kind, text, config_text)
    _show(output, found)
    applied = Applied(saved=())
    if not dry_run and found.instances:
        if not (yes or _agreed("Take these over?")):
            raise click.Abort
        blank = kind is ImportSource.EARLIER_JSON and not keep_secrets
        blank = blank and (yes or _agreed(f"Make the secrets in {path} empty, once they are in the store?"))
        with diagnostics.doing("take providers over"):
            session.open_store()
            applied = session.service.apply_import(found, only or None, blank_in=path if blank else None)
    _tell(output, found, applied)


def _agreed(question: str) -> bool:
    return stdin_is_terminal() and click.confirm(question, err=True)


def _read(kind: ImportSource, file: str | None) -> tuple[str, str, Path | None]:
    """The text, AWS's second one, and the file that it came from."""
    if kind is ImportSource.AWS:
        path = Path(file or f"{_AWS}/credentials").expanduser()
        other = path.with_name("config")
        return _text(path), _text(other) if other.exists() else "", path
    if file and file != "-":
        return _text(Path(file)), "", Path(file)
    if stdin_is_terminal() or kind is ImportSource.EARLIER_JSON:
        raise click.UsageError("name the file" if kind is ImportSource.EARLIER_JSON else "pipe `rclone config dump` in")
    return sys.stdin.read(_MOST_CHARACTERS), "", None


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise from_os_error(error, path) from None
    except UnicodeDecodeError:
        raise click.UsageError(f"{path} is not UTF-8 text") from None


def _show(output: Output, found: Findings) -> None:
    rows = [
        [instance.source, instance.service, ", ".join(instance.secrets) or "-", "; ".join(instance.notes)]
        for instance in found.instances
    ]
    rows += [[item.source, "skipped", "-", item.reason] for item in found.skipped]
    output.table(["FOUND", "SERVICE", "SECRETS", "NOTE"], rows)


def _tell(output: Output, found: Findings, applied: Applied) -> None:
    for saved in applied.saved:
        secrets = f", {count(len(saved.secrets), 'secret')} in the store" if saved.secrets else ""
        output.line(f"{saved.source} is now provider {saved.name}{secrets}; next: test-providers {saved.name}")
    if applied.blanked:
        output.line("their secrets in the file are now empty")
    output.document(
        {
            "found": [
                {
                    "source": instance.source,
                    "name": instance.name,
                    "service": instance.service,
                    "secrets": list(instance.secrets),
                    "notes": list(instance.notes),
                }
                for instance in found.instances
            ],
            "skipped": found.skipped,
            "saved": applied.saved,
            "blanked": applied.blanked,
        }
    )


COMMANDS: Final = {"import": import_}
