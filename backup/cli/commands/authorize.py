"""`authorize`."""

from __future__ import annotations

import contextlib
import select
import sys
import time

import click

from backup.cli import diagnostics
from backup.cli.output import Output
from backup.cli.session import Session, json_option, pass_session, passphrase_option, stdin_is_terminal
from backup.credentials.errors import CredentialStoreError
from backup.model.credentials import StoreState
from backup.queries.authorizations import BegunAuthorization
from backup.queries.questions import AuthorizeBegin, AuthorizeFinish, AuthorizeMethods, AuthorizePoll
from backup.system import qr
from providers.contract import authorization
from providers.contract.authorization import Answer, Grant, Method
from providers.errors import Unsupported

_MAX_PASTED_CHARACTERS = 16 * 1024


@click.command("authorize")
@click.argument("name")
@click.option("--method", "-m", metavar="M", default="", help="Method to use, if the service has several.")
@click.option("--no-qr", is_flag=True, help="Show no QR code.")
@passphrase_option
@json_option
@pass_session
def command(session: Session, output: Output, name: str, method: str, no_qr: bool) -> None:
    """Authorise provider NAME in a browser, on any machine; this one needs none.

    Shows the address to open: as text, as a link, and as a QR code for a phone. Then type the code or address the
    browser ends on, pass it on standard input, or just wait. The credentials are kept in the credential store. All
    messages go to standard error.

    \b
    JSON: {"name", "account", "values": {...}, "warnings": [...], "expires_at"}
    """
    service = session.core.instances.service_of(name)
    _check_method(session.questions.ask(AuthorizeMethods(service)), service, method)
    _check_store_is_ready(session)
    with contextlib.closing(session.questions) as questions:
        begun = questions.ask(AuthorizeBegin(service, {}, {}, name, method))
        _show(begun, no_qr=no_qr)
        grant = _grant(session, begun)
    session.core.instances.save(name, service, grant.values, grant.secrets, expires_at=grant.expires_at)
    _report(session, output, name, grant)


def _check_store_is_ready(session: Session) -> None:
    """Raise CredentialStoreError before the user signs in: a grant that cannot be kept would be lost."""
    session.open_store()
    status = session.core.credentials.status()
    if status.state is not StoreState.READY:
        raise CredentialStoreError(status.detail, hint=status.hint, remedies=status.remedies, code=status.state.value)


def _check_method(methods: tuple[Method, ...], service: str, wanted: str) -> None:
    if not methods:
        raise Unsupported(f"{service} is not authorised in a browser", hint="Use set-credentials.")
    if not wanted and len(methods) > 1:
        others = "; ".join(f"--method {item.name}: {item.help}" for item in methods[1:])
        diagnostics.note(f"{methods[0].title}. Other ways: {others}")


def _show(begun: BegunAuthorization, *, no_qr: bool) -> None:
    step = begun.authorization
    diagnostics.note(step.instructions)
    if step.command:
        diagnostics.note("")
        diagnostics.note(f"    {step.command}")
    diagnostics.note("")
    diagnostics.address(step.address)
    if not no_qr:
        diagnostics.qr_code(qr.rows(step.address))
    if step.user_code:
        diagnostics.note("")
        diagnostics.note(f"code: {step.user_code}")
    diagnostics.note("")


def _grant(session: Session, begun: BegunAuthorization) -> Grant:
    step = begun.authorization
    if step.answer is not Answer.NOTHING:
        return session.questions.ask(AuthorizeFinish(begun.flow, _pasted(step.answer)))
    typed = not step.user_code and stdin_is_terminal()  # without the tunnel the address is pasted instead
    while step.expires_at is None or time.time() < step.expires_at:
        grant = session.questions.ask(AuthorizePoll(begun.flow))
        if grant is not None:
            return grant
        if not typed:
            time.sleep(step.interval_s)
        elif select.select([sys.stdin], [], [], step.interval_s)[0]:
            return session.questions.ask(AuthorizeFinish(begun.flow, sys.stdin.readline(_MAX_PASTED_CHARACTERS)))
    raise authorization.expired("The service")


def _pasted(answer: Answer) -> str:
    what = "Code" if answer is Answer.CODE else "Address the browser ended on"
    if stdin_is_terminal():
        return str(click.prompt(what, err=True))
    text = sys.stdin.readline(_MAX_PASTED_CHARACTERS).strip()
    if not text:
        raise click.UsageError("no code or address: standard input is empty")
    return text


def _report(session: Session, output: Output, name: str, grant: Grant) -> None:
    for warning in grant.warnings:
        diagnostics.warn(warning)
    whose = f" by {grant.account}" if grant.account else ""
    output.line(f"{name} is authorised{whose}; kept in {session.core.credentials.status().backend}")
    output.line(f"next: enable-provider {name}")
    output.document(
        {
            "name": name,
            "account": grant.account,
            "values": grant.values,
            "warnings": list(grant.warnings),
            "expires_at": grant.expires_at,
        }
    )
