"""`credentials import`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from backup.cli import diagnostics
from backup.cli.output import Output
from backup.cli.session import Session, json_option, pass_session, passphrase_option, stdin_is_terminal
from backup.credentials.importing.json_file import ImportFindings
from backup.instances.importing import MOST_BYTES, USUAL_FILES, Applied, ImportSource
from backup.system.text import count, safe, when

_PIPED: Final = {
    ImportSource.EARLIER_JSON: "name the file",
    ImportSource.AWS: "pipe `aws configure export-credentials` in",
    ImportSource.RCLONE: "pipe `rclone config dump` in",
}


@click.command("import")
@click.argument("source", type=click.Choice([source.value for source in ImportSource]))
@click.argument("file", required=False)
@click.option("--only", "only", multiple=True, metavar="NAME", help="Import only this one; may be repeated.")
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
    """Import providers; their secrets go straight into the store.

    \b
    json FILE     an earlier program's configuration; the secrets in the file are blanked if you agree
    aws [FILE]    ~/.aws/credentials (and ~/.aws/config); with -, the output of a credential_process:
                  aws configure export-credentials | homeserver-backup credentials import aws - --yes
    rclone        the output of `rclone config dump`, on standard input:
                  rclone config dump | homeserver-backup credentials import rclone --yes

    Existing providers are never changed. An imported provider is disabled until a check has passed.

    \b
    JSON: {"found": [{"source", "name", "service", "secrets", "expires_at", "notes"}],
    "skipped": [{"source", "reason"}], "saved": [{"source", "name", "secrets", "notes"}], "blanked"}
    """
    kind = ImportSource(source)
    path = _file(kind, file)
    with diagnostics.doing(f"read providers from {path or 'standard input'}"):
        found = session.core.instances.import_findings_in(kind, path) if path else _piped(session, kind)
    _show(output, found)
    applied = Applied(saved=())
    if not dry_run and found.instances:
        if not (yes or _agreed("Import these?")):
            raise click.Abort
        blank = kind is ImportSource.EARLIER_JSON and not keep_secrets
        blank = blank and (yes or _agreed(f"Blank the secrets in {safe(str(path))} once they are in the store?"))
        with diagnostics.doing("import providers"):
            session.open_store()
            applied = session.core.instances.apply_import(found, only or None, blank_in=path if blank else None)
    _report(output, found, applied)


def _agreed(question: str) -> bool:
    return stdin_is_terminal() and click.confirm(question, err=True)


def _file(kind: ImportSource, file: str | None) -> Path | None:
    """The file to read; None for standard input."""
    name = file or USUAL_FILES.get(kind)
    if name and name != "-":
        return Path(name).expanduser()
    if stdin_is_terminal() or kind is ImportSource.EARLIER_JSON:
        raise click.UsageError(_PIPED[kind])
    return None


def _piped(session: Session, kind: ImportSource) -> ImportFindings:
    return session.core.instances.import_findings(kind, sys.stdin.read(MOST_BYTES))


def _show(output: Output, found: ImportFindings) -> None:
    rows = [
        [
            instance.source,
            instance.service,
            ", ".join(instance.secrets) or "-",
            when(instance.expires_at),
            "; ".join(instance.notes),
        ]
        for instance in found.instances
    ]
    rows += [[item.source, "skipped", "-", "-", item.reason] for item in found.skipped]
    output.table(["FOUND", "SERVICE", "SECRETS", "EXPIRES", "NOTE"], rows)


def _report(output: Output, found: ImportFindings, applied: Applied) -> None:
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
                    "expires_at": instance.expires_at,
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
