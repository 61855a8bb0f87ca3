"""Import of instances with their secrets: the earlier JSON configuration, and parts shared with AWS and rclone.

Pure: texts in, instances out, ready for `Instances.save`. Nothing is written, and no error repeats a text that
was read, because any part of it may be a secret.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from providers import registry, settings
from providers.errors import InvalidConfiguration
from providers.secret import Secret
from providers.settings import ProviderSettings

Services = Mapping[str, type[ProviderSettings]]


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """One instance as found. `values` and `secrets` hold only settings of its service, unparsed."""

    name: str
    """Valid as an instance's name, and unique among those found."""
    service: str
    source: str
    """Its name in the source."""
    values: dict[str, str]
    secrets: dict[str, Secret]
    expires_at: float | None = None
    """Expiry of the secrets in seconds since 1970, if the source has it."""
    notes: tuple[str, ...] = ()
    """Notes for the user: settings left out or still missing."""


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    source: str
    reason: str


class ImportFindings(msgspec.Struct, frozen=True, kw_only=True):
    instances: tuple[Imported, ...] = ()
    skipped: tuple[Skipped, ...] = ()


class FoundProvider(msgspec.Struct, frozen=True, kw_only=True):
    """A provider as found, before it is fitted to the settings of its service. Empty text and None mean not set."""

    source: str
    service: str
    fields: Mapping[str, Any]
    expires_at: float | None = None
    notes: tuple[str, ...] = ()


def known_services() -> Services:
    """Settings classes of every service that can be used now."""
    return {spec.name: spec.settings for spec in registry.specs() if spec.settings is not None}


def fitted(found: Iterable[FoundProvider | Skipped], services: Services | None = None) -> ImportFindings:
    """Make names valid, and sort fields into settings and secrets. Unknown fields are listed in the notes."""
    services = known_services() if services is None else services
    instances: list[Imported] = []
    skipped: list[Skipped] = []
    taken: set[str] = set()
    for item in found:
        if isinstance(item, Skipped):
            skipped.append(item)
        elif item.service not in services:
            skipped.append(Skipped(source=item.source, reason=f"this program has no service {item.service!r}"))
        else:
            instances.append(_fit(item, services[item.service], _name(item.source, taken)))
    return ImportFindings(instances=tuple(instances), skipped=tuple(skipped))


def _fit(item: FoundProvider, cls: type[ProviderSettings], name: str) -> Imported:
    known = {field.name: field for field in settings.describe(cls)}
    values: dict[str, str] = {}
    secrets: dict[str, Secret] = {}
    left_out: list[str] = []
    for key, value in _own_names(item.fields, cls).items():
        if value is None or value == "" or (isinstance(value, Secret) and not value):
            continue
        if key not in known or not isinstance(value, str | int | float | Secret):
            left_out.append(key)
        elif known[key].secret:
            secrets[key] = value if isinstance(value, Secret) else Secret(str(value))
        elif value != known[key].default:
            values[key] = _text(value)
    notes = list(item.notes)
    if left_out:
        notes.append(f"left out, no such setting of {cls.title or item.service}: {', '.join(sorted(left_out))}")
    missing = [field.name for field in known.values() if field.required and field.name not in {**values, **secrets}]
    if missing:
        notes.append(f"still to be set: {', '.join(missing)}")
    return Imported(
        name=name,
        service=item.service,
        source=item.source,
        values=values,
        secrets=secrets,
        expires_at=item.expires_at,
        notes=tuple(notes),
    )


def _own_names(fields: Mapping[str, Any], cls: type[ProviderSettings]) -> dict[str, Any]:
    """The fields, with the guide's username and password under the service's own names unless those are set too."""
    own = dict(fields)
    for common, name in zip(("username", "password"), cls.credential_pair or (), strict=False):
        value = own.pop(common, None)
        own[name] = own.get(name) or value
    standard = {field.name: field.default for field in msgspec.structs.fields(ProviderSettings)}
    return {key: value for key, value in own.items() if not (key in cls.not_applicable and value == standard.get(key))}


def _text(value: str | int | float | Secret) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.reveal() if isinstance(value, Secret) else str(value)


def _name(source: str, taken: set[str]) -> str:
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", source).strip("._-")[:56] or "imported"
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    taken.add(name)
    return name


# The earlier JSON configuration

_FORMER: Final = {"bucket": "container", "bucket_name": "container", "base_path": "container", "path": "container"}
_OURS: Final = frozenset({"type", "enabled", "credentials_key"})


def from_earlier_json(text: str, services: Services | None = None) -> ImportFindings:
    """The guide's structure, secrets inside, with or without `providers` around it.

    `enabled` is not imported: an instance is enabled after a check. Raises InvalidConfiguration if it is not JSON.
    """
    return fitted((_earlier(name, entry) for name, entry in _sections(_json(text)).items()), services)


def _earlier(name: str, entry: Mapping[str, Any]) -> FoundProvider:
    fields: dict[str, Any] = {}
    for key, value in entry.items():
        if key not in _OURS:
            fields.setdefault(_FORMER.get(key, key), value)
    for former, key in _FORMER.items():
        if former in entry and entry.get(key):
            fields[key] = entry[key]
    return FoundProvider(source=name, service=str(entry.get("type") or name), fields=fields)


def without_secrets(text: str, moved: Iterable[Imported]) -> str:
    """The same JSON file with every moved secret blanked, to be written back. Skipped instances and left-out fields
    keep theirs, which exist nowhere else. Raises InvalidConfiguration."""
    tree = _json(text)
    sections = _sections(tree)
    for instance in moved:
        entry = sections.get(instance.source, {})
        gone = {secret.reveal() for secret in instance.secrets.values()}
        entry.update({key: "" for key, value in entry.items() if isinstance(value, str) and value in gone})
    return json.dumps(tree, indent=2, ensure_ascii=False) + "\n"


def _sections(tree: dict[str, Any]) -> dict[str, dict[str, Any]]:
    inner = tree.get("providers")
    sections = inner if isinstance(inner, dict) else tree
    return {name: entry for name, entry in sections.items() if isinstance(entry, dict)}


def _json(text: str) -> dict[str, Any]:
    try:
        tree = json.loads(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        raise InvalidConfiguration(
            f"it is not JSON: line {error.lineno}, column {error.colno}", hint="Correct that line."
        ) from None
    except RecursionError:
        raise InvalidConfiguration("it is not a configuration: nested too deep", hint="Check the file.") from None
    except ValueError:  # Python converts no number of more than 4300 digits
        raise InvalidConfiguration("it is not a configuration: a number is too long", hint="Check the file.") from None
    if not isinstance(tree, dict):
        raise InvalidConfiguration("it is not a configuration: no JSON object", hint="Check the file.")
    return tree
