"""`credentials doctor`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

import click

from backup.cli.diagnostics import ExitCode
from backup.cli.output import Output
from backup.cli.remedies import advice
from backup.cli.session import Session, json_option, pass_session
from backup.core.doctor import HealthFinding, HealthVerdict
from backup.queries.questions import FindMisnamed
from backup.system.text import count
from providers.errors import ProviderError


@click.command("doctor")
@json_option
@pass_session
def doctor(session: Session, output: Output) -> int:
    """Check this machine (session bus, keyring, vault, unattended jobs, logging out, reboots), and look for
    double-encoded names at every provider that can be used now.

    Exit code 1 if something is wrong.

    \b
    JSON: {"findings": [{"what", "verdict", "detail", "cure"}], "ok"}
    """
    found = (*session.core.doctor(), *_names(session))
    ok = all(finding.verdict is not HealthVerdict.BAD for finding in found)
    output.table(["WHAT", "STATE", "DETAIL"], [[item.what, item.verdict.value, item.detail] for item in found])
    for item in found:
        if item.verdict is not HealthVerdict.OK and (fix := advice(item)):
            output.line(f"{item.what}: {fix}")
    output.document({"findings": found, "ok": ok})
    return ExitCode.OK if ok else ExitCode.FAILURE


def _names(session: Session) -> Iterator[HealthFinding]:
    """Findings about stored names at every usable provider; no credential store is opened for this."""
    with contextlib.closing(session.questions):
        for info in session.core.instances.all():
            if info.usable:
                yield _names_at(session, info.name)


def _names_at(session: Session, name: str) -> HealthFinding:
    what = f"names at {name}"
    try:
        found = session.questions.ask(FindMisnamed(name))
    except ProviderError as error:
        detail = f"not checked: {error.message}"
        return HealthFinding(
            what=what, verdict=HealthVerdict.NOTE, detail=detail, hint=error.hint, remedies=error.remedies
        )
    if not found.count:
        far = "correct" if found.complete else "correct, as far as 5 s allowed to check"
        return HealthFinding(what=what, verdict=HealthVerdict.OK, detail=far)
    shown = "; ".join(f"'{wrong}' is '{right}'" for wrong, right in found.names)
    more = f"; and {found.count - len(found.names):,} more" if found.count > len(found.names) else ""
    return HealthFinding(
        what=what,
        verdict=HealthVerdict.BAD,
        detail=f"{count(found.count, 'name')} stored double-encoded, under a locale that is not UTF-8: {shown}{more}",
        hint="Upload these files again: they are stored under their own names. Then delete the wrong names.",
    )


COMMANDS: Final = {"doctor": doctor}
