"""`list-providers`."""

from __future__ import annotations

import click

from backup.cli.output import Output
from backup.cli.remedies import advice
from backup.cli.session import Session, json_option, pass_session
from backup.model.instances import InstanceInfo, ServiceInfo
from backup.system.text import when


@click.command("list-providers")
@json_option
@pass_session
def command(session: Session, output: Output) -> None:
    """List the providers that are set up, and the services that could be.

    \b
    JSON: {"instances": [{"name", "type", "title", "state", "enabled", "container", "location", "settings",
    "problem", "has_credentials", "checked_at", "check_ok", ...}], "services": [{"name", "title", "summary",
    "unavailable"}]}
    """
    instances, services = session.core.instances.all(), session.core.instances.services()
    output.table(
        ["NAME", "SERVICE", "STATE", "CONTAINER", "CREDENTIALS", "LAST CHECK"], [_row(info) for info in instances]
    )
    default = next((info.name for info in instances if info.is_default), "")
    output.line(f"default: {default}" if default else "default: none; name one with --provider")
    for info in instances:
        if info.problem:
            output.line(f"{info.name}: {info.problem.message}. {advice(info.problem)}".rstrip())
    used = {info.type for info in instances}
    others = [service for service in services if service.name not in used or service.unavailable]
    if others:
        output.line()
        output.line("Services:")
        output.table(["NAME", "WHAT IT IS"], [_service_row(service) for service in others])
    output.document({"instances": instances, "services": [_brief(service) for service in services]})


def _row(info: InstanceInfo) -> list[str]:
    credentials = {None: "-", True: "set", False: "missing"}[info.has_credentials]
    checked = "never"
    if info.checked_at is not None:
        checked = f"{'ok' if info.check_ok else 'failed'} {when(info.checked_at)}"
    return [info.name, info.title or info.type, info.state.value, info.container or "-", credentials, checked]


def _service_row(service: ServiceInfo) -> list[str]:
    what = f"unavailable: {service.unavailable}" if service.unavailable else f"{service.title}. {service.summary}"
    return [service.name, what]


def _brief(service: ServiceInfo) -> dict[str, str]:
    return {
        "name": service.name,
        "title": service.title,
        "summary": service.summary,
        "unavailable": service.unavailable,
    }
