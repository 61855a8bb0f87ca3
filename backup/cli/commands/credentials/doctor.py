"""`credentials doctor`."""

from __future__ import annotations

from typing import Final

import click

from backup.cli.diagnostics import ExitCode
from backup.cli.output import Output
from backup.cli.session import Session, json_option, pass_session
from backup.doctor import Verdict


@click.command("doctor")
@json_option
@pass_session
def doctor(session: Session, output: Output) -> int:
    """What holds on this machine: session bus, keyring, vault, jobs without you, logging out, reboots.

    Exit code 1 when something is wrong.

    \b
    JSON: {"findings": [{"what", "verdict", "detail", "cure"}], "ok"}
    """
    found = session.service.doctor()
    ok = all(finding.verdict is not Verdict.BAD for finding in found)
    output.table(["WHAT", "STATE", "DETAIL"], [[item.what, item.verdict.value, item.detail] for item in found])
    for item in found:
        if item.cure and item.verdict is not Verdict.OK:
            output.line(f"{item.what}: {item.cure}")
    output.document({"findings": found, "ok": ok})
    return ExitCode.OK if ok else ExitCode.FAILURE


COMMANDS: Final = {"doctor": doctor}
