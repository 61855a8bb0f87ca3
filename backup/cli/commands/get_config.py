"""`get-config`."""

from __future__ import annotations

from typing import Any

import click

from backup.cli import tables
from backup.cli.output import Output
from backup.cli.session import Session, json_option, pass_session
from backup.model.instances import InstanceInfo, ServiceInfo
from providers.errors import InvalidConfiguration
from providers.settings import SettingField


@click.command("get-config")
@click.argument("name", required=False)
@click.option("--describe", is_flag=True, help="Every setting of the provider's service: kind, default, meaning.")
@click.option("--capabilities-table", is_flag=True, help="What each service can do, as the table in README.md.")
@json_option
@pass_session
def command(session: Session, output: Output, name: str | None, describe: bool, capabilities_table: bool) -> None:
    """Show the settings of provider NAME, or of all. Secrets are never shown, only that they are set.

    With --describe, NAME may also be a service that is not set up yet.

    \b
    JSON: {"file", "default_provider", "history_days", "providers": {"<name>": {"type", "<setting>": value, ...}}}
    JSON with --describe: {"services": {"<service>": [{"name", "kind", "label", "help", "unit", "required", "default",
    "choices", "minimum", "maximum", "placeholder", "secret", "advanced"}]}}
    """
    if capabilities_table:
        for line in tables.capabilities():
            output.line(line)
        return
    if describe:
        _describe(session, output, name)
        return
    session.warn_of_broken_configuration()
    infos = [session.core.instances.get(name)] if name else list(session.core.instances.all())
    for info in infos:
        output.line(f"{info.name} ({info.title or info.type})")
        output.table(["SETTING", "VALUE"], [[key, _shown(value)] for key, value in info.settings.items()])
        output.line()
    default = next((info.name for info in session.core.instances.all() if info.is_default), None)
    days = session.core.history_days()
    output.line(f"default provider: {default or '-'}")
    output.line(f"history_days: {days}")
    output.line(f"file: {session.paths.config_file}")
    output.document(
        {
            "file": str(session.paths.config_file),
            "default_provider": default,
            "history_days": days,
            "providers": {info.name: {"type": info.type, **info.settings} for info in infos},
        }
    )


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if value != "" else "-"


def _describe(session: Session, output: Output, name: str | None) -> None:
    services = _services(session, name)
    for service in services:
        output.line(f"{service.name} ({service.title}): {service.summary}")
        if service.unavailable:
            output.line(f"unavailable: {service.unavailable}")
        rows = [[field.name, _kind(field), _default(field), _meaning(field)] for field in service.fields]
        output.table(["SETTING", "KIND", "DEFAULT", "MEANING"], rows)
        output.line()
    output.document({"services": {service.name: [_field(field) for field in service.fields] for service in services}})


def _services(session: Session, name: str | None) -> list[ServiceInfo]:
    services = list(session.core.instances.services())
    if name is None:
        return services
    instances: dict[str, InstanceInfo] = {info.name: info for info in session.core.instances.all()}
    wanted = instances[name].type if name in instances else name
    found = [service for service in services if service.name == wanted]
    if not found:
        known = ", ".join(service.name for service in services)
        raise InvalidConfiguration(f"there is no provider or service {name!r}", hint=f"Services: {known}.")
    return found


def _kind(field: SettingField) -> str:
    kind = "/".join(field.choices) or field.kind.value
    unit = f" ({field.unit})" if field.unit and field.unit != field.kind.value else ""
    return f"{kind}{unit}{_limits(field)}{', required' if field.required else ''}"


def _limits(field: SettingField) -> str:
    if field.minimum is None and field.maximum is None:
        return ""
    low = "" if field.minimum is None else f"{field.minimum:.12g}"
    high = "" if field.maximum is None else f"{field.maximum:.12g}"
    return f", {low}..{high}"


def _meaning(field: SettingField) -> str:
    return f"{field.help} Example: {field.placeholder}" if field.placeholder else field.help


def _default(field: SettingField) -> str:
    return "-" if field.secret else _shown(field.default)


def _field(field: SettingField) -> dict[str, Any]:
    return {
        "name": field.name,
        "kind": field.kind.value,
        "label": field.label,
        "help": field.help,
        "unit": field.unit,
        "required": field.required,
        "default": None if field.secret else field.default,
        "choices": list(field.choices),
        "minimum": field.minimum,
        "maximum": field.maximum,
        "placeholder": field.placeholder,
        "secret": field.secret,
        "advanced": field.advanced,
    }
