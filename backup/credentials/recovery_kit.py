"""The recovery kit: one page with all that is needed to read the backups on another machine without this program.

Pure. The caller prints it on request, on paper or a screen, and keeps it nowhere. The whole page is one Secret.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import segno

from backup.credentials.importing.rclone_obscure import obscure
from backup.credentials.vault_file.file import VaultInfo
from backup.system import qr
from backup.system.text import safe
from providers.secret import Secret

WARNING: Final = (
    "WARNING: anyone who has this page can read, change and delete these backups. Print it, lock it away from the "
    "machine it describes, and make a new one after each change of keys. This program keeps no copy of it."
)
_WIDTH: Final = 78
_NEEDS_QUOTES: Final = re.compile(r'\s|.*\s$|`|"""')
"""rclone trims blanks at the ends of a value, and reads a value that begins with these characters as quoted."""
_BLOCKS: Final = "▀▄█"
_INTERPOLATED: Final = re.compile(r"%\([^)]*\)s")
"""rclone replaces it with another value of the section; it cannot be escaped."""


class KitInstance(msgspec.Struct, frozen=True, kw_only=True):
    """An instance with everything that opens it. `settings` and `secrets` under the service's own names."""

    name: str
    service: str
    title: str
    settings: Mapping[str, Any]
    secrets: Mapping[str, Secret]


def recovery_kit(
    instances: Sequence[KitInstance],
    *,
    host: str,
    made_on: str,
    vault: VaultInfo | None = None,
    qr_codes: bool = True,
    columns: int = 80,
    dark_background: bool = False,
) -> Secret:
    """The page as text of at most about `columns` columns, each QR code holding one instance's part of rclone.conf.

    `dark_background`: for a screen with light text, where the dark squares of a code are left empty.
    """
    parts = [_head(host, made_on), _how()]
    names = [instance.name for instance in instances]
    for instance in instances:
        config = rclone_config(instance, names)
        parts.append(_instance(instance, config))
        if qr_codes and config:
            parts.append(qr_code(config.reveal(), columns=columns, dark_background=dark_background))
    parts.append(_vault(vault))
    return Secret("\n\n".join(parts) + "\n")


def rclone_config(instance: KitInstance, names: Sequence[str] = ()) -> Secret | None:
    """The instance's part of rclone.conf: NAME-storage is the service, NAME the instance's container and prefix,
    decrypted. None if rclone has no such service. `names`: of all instances on the page, not used for the service.
    """
    writer = _WRITERS.get(instance.service)
    if writer is None:
        return None
    storage = f"{instance.name}-storage"
    while storage in names:
        storage += "-2"
    place = f"{storage}:{_place(instance)}"
    secret = instance.secrets
    if instance.settings.get("encryption_enabled"):
        keys = {
            "password": _obscured(secret.get("encryption_key")),
            "password2": _obscured(secret.get("encryption_salt")),
        }
        top = {"type": "crypt", "remote": place, **keys}
    else:
        top = {"type": "alias", "remote": place}
    return Secret(_section(storage, writer(instance)) + "\n" + _section(instance.name, top))


def qr_code(text: str, *, columns: int = 80, dark_background: bool = False) -> str:
    """The code in half blocks, two rows per line; a sentence instead if it is wider than `columns`, or the terminal
    cannot show block characters."""
    if safe(_BLOCKS) != _BLOCKS:
        return "(this terminal cannot show a QR code)"
    try:
        rows = qr.rows(text, dark_background=dark_background)
    except segno.DataOverflowError:
        return "(too much for a QR code)"
    if len(rows[0]) > columns:
        return f"(as a QR code it would be {len(rows[0])} columns wide)"
    return "\n".join(rows)


def _head(host: str, made_on: str) -> str:
    title = f"RECOVERY KIT of {safe(host)}, made on {safe(made_on)}"
    return "\n".join([title, "=" * len(title), "", *textwrap.wrap(WARNING, _WIDTH)])


def _how() -> str:
    return "\n".join(
        [
            "How to read the backups on any machine:",
            "  1. Install rclone (https://rclone.org/downloads); nothing else is needed.",
            "  2. Type or scan the lines of an instance into a file rclone.conf.",
            "  3. List:      rclone --config rclone.conf lsf NAME:",
            "     Copy back: rclone --config rclone.conf copy NAME: /where/to --progress",
            "Each setting is one line, however long: where the edge of the page breaks it, it",
            "continues without a space. A value in double quotes, above the lines for rclone, is",
            "a JSON string: \\n is a line break.",
        ]
    )


def _instance(instance: KitInstance, config: Secret | None) -> str:
    title = f"{safe(instance.name)}: {safe(instance.title)}"
    lines = [title, "-" * len(title)]
    shown = {key: value for key, value in instance.settings.items() if value not in (None, "")}
    lines += [f"  type: {_exactly(instance.service)}"]
    lines += [f"  {key}: {_exactly(_plain(value))}" for key, value in sorted(shown.items())]
    lines += [f"  {key}: {_exactly(secret.reveal())}" for key, secret in sorted(instance.secrets.items()) if secret]
    if instance.service == "local":
        lines += ["  Plain files in that folder: read them as they are. A copy on the same disk is no backup."]
    elif config is None:
        lines += ["  There is no rclone entry for this service: use its own programs with the values above."]
    lines += [f"  NOT ON THIS PAGE: {missing}" for missing in _missing(instance)]
    if config:
        lines += ["", *config.reveal().splitlines()]
    return "\n".join(lines)


def _missing(instance: KitInstance) -> Iterable[str]:
    """Other things needed, in files that may be lost with the machine."""
    get = instance.settings.get
    if instance.service == "aws_s3" and not instance.secrets.get("secret_key"):
        source = f"the AWS profile {safe(str(get('profile')))}" if get("profile") else "the environment, or the machine"
        yield f"the keys. They come from {source}: keep a copy of them with this page."
    if get("ca_bundle"):
        yield f"the certificates in {safe(str(get('ca_bundle')))}: keep a copy of them. rclone takes it with --ca-cert."


def _vault(vault: VaultInfo | None) -> str:
    if vault is None:
        return "The secrets were kept in the keyring of that machine. This page replaces it."
    lines = [f"The secrets were kept in the vault {safe(str(vault.path))}. This page replaces it; it opens with:"]
    lines += [f"  slot {slot.id}: {slot.kind.value} {safe(slot.label)}".rstrip() for slot in vault.slots]
    return "\n".join(lines)


def _plain(value: Any) -> str:
    """The value as the configuration file spells it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _exactly(value: str) -> str:
    """The value so that it can be retyped exactly: as it is, or as JSON if it would not be displayed as it is."""
    if value == value.strip() and safe(value) == value and not value.startswith('"'):
        return value
    return json.dumps(value)


def _section(name: str, values: Mapping[str, str]) -> str:
    return "\n".join([f"[{name}]", *(_line(values["type"], key, value) for key, value in values.items() if value), ""])


def _line(kind: str, key: str, value: str) -> str:
    value = _on_one_line(value)
    if safe(value) != value or _INTERPOLATED.search(value):
        option = f"--{kind}-{key.replace('_', '-')}"
        return f"# {key}: rclone's file cannot hold this value; give it with the option {option}, as written above"
    quotes = '"""' if _NEEDS_QUOTES.match(value) else ""
    return f"{key} = {quotes}{value}{quotes}"


def _on_one_line(value: str) -> str:
    """Put JSON, such as the key file of a service account, on one line."""
    if value.lstrip()[:1] not in ("{", "["):
        return value
    try:
        return json.dumps(json.loads(value), separators=(",", ":"))
    except (ValueError, RecursionError):
        return value


def _obscured(secret: Secret | None) -> str:
    return obscure(secret) if secret else ""


def _place(instance: KitInstance) -> str:
    container = str(instance.settings.get("container") or "")
    if instance.service == "local":
        return container
    prefix = str(instance.settings.get("prefix") or "").strip("/")
    return "/".join(part for part in (container.strip("/"), prefix) if part)


def _texts(values: Iterable[tuple[str, Any]]) -> dict[str, str]:
    return {
        key: value.reveal() if isinstance(value, Secret) else str(value)
        for key, value in values
        if value not in (None, "")
    }


def _local(instance: KitInstance) -> dict[str, str]:
    return {"type": "local"}


def _s3(instance: KitInstance) -> dict[str, str]:
    get, secret = instance.settings.get, instance.secrets.get
    endpoint = get("endpoint_url")
    style = {"path": "true", "virtual": "false"}.get(str(get("addressing_style")), "true" if endpoint else "false")
    return _texts(
        [
            ("type", "s3"),
            ("provider", "Other" if endpoint else "AWS"),
            ("env_auth", "" if secret("secret_key") else "true"),
            ("access_key_id", get("access_key")),
            ("secret_access_key", secret("secret_key")),
            ("session_token", secret("session_token")),
            ("region", get("region")),
            ("endpoint", endpoint),
            ("force_path_style", style),
            ("profile", get("profile")),
        ]
    )


def _b2(instance: KitInstance) -> dict[str, str]:
    get, secret = instance.settings.get, instance.secrets.get
    account, key = get("application_key_id"), secret("application_key")
    return _texts([("type", "b2"), ("account", account), ("key", key), ("endpoint", get("realm"))])


def _dropbox(instance: KitInstance) -> dict[str, str]:
    return _with_token(instance, {"type": "dropbox"}, ("client_id", "app_key"), ("client_secret", "app_secret"))


def _drive(instance: KitInstance) -> dict[str, str]:
    base = _texts(
        [
            ("type", "drive"),
            ("scope", instance.settings.get("scope")),
            ("team_drive", instance.settings.get("shared_drive_id")),
            ("acknowledge_abuse", "true" if instance.settings.get("acknowledge_abuse") else None),
            ("service_account_credentials", instance.secrets.get("service_account_json")),
        ]
    )
    return _with_token(instance, base, ("client_id", "client_id"), ("client_secret", "client_secret"))


def _with_token(instance: KitInstance, base: dict[str, str], *names: tuple[str, str]) -> dict[str, str]:
    client = _texts((theirs, instance.settings.get(ours) or instance.secrets.get(ours)) for theirs, ours in names)
    refresh = instance.secrets.get("refresh_token")
    if not refresh:
        return {**base, **client}
    token = {
        "access_token": "none yet",
        "token_type": "bearer",
        "refresh_token": refresh.reveal(),
        "expiry": "2001-01-01T00:00:00Z",  # in the past: rclone fetches a new one
    }
    return {**base, **client, "token": msgspec.json.encode(token).decode()}


_WRITERS: Final = {"local": _local, "aws_s3": _s3, "backblaze": _b2, "dropbox": _dropbox, "google_drive": _drive}
