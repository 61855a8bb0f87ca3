"""Import of rclone's remotes from `rclone config dump`, with their obscured passwords. Pure, as `json_file`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from backup.credentials.importing.json_file import FoundProvider, ImportFindings, Services, Skipped, fitted
from backup.credentials.importing.rclone_obscure import reveal
from providers.errors import InvalidConfiguration
from providers.secret import Secret

Remote = Mapping[str, str]

_HINT: Final = "Pass the output of `rclone config dump`."
_WITHOUT_COUNTERPART: Final[dict[str, tuple[str, ...]]] = {
    "s3": ("storage_class", "server_side_encryption", "sse_kms_key_id", "acl", "bucket_acl", "role_arn"),
    "b2": ("download_url",),
    "dropbox": ("impersonate", "root_namespace", "shared_files", "shared_folders"),
    "drive": ("root_folder_id", "service_account_file", "impersonate", "shared_with_me", "alternate_export"),
}
"""Options that decide where, as whom or how objects are stored. All others only concern rclone itself."""
_SCOPES: Final = frozenset({"drive", "drive.file"})
_DEEPEST: Final = 4
"""Most levels of remotes that wrap remotes."""


def from_rclone(dump: str, services: Services | None = None) -> ImportFindings:
    """Every remote of a service that this program has. A crypt remote becomes an encrypted instance of what it wraps;
    the wrapped remote is found too. Raises InvalidConfiguration if `dump` is not a dump."""
    remotes = _remotes(dump)
    return fitted((_remote(name, remotes) for name in remotes), services)


def _remotes(dump: str) -> dict[str, Remote]:
    if "RCLONE_ENCRYPT_V" in dump[:4096]:
        raise InvalidConfiguration("this is rclone's encrypted configuration file itself", hint=_HINT)
    try:
        tree: Any = json.loads(dump.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        raise InvalidConfiguration("it is not the JSON that rclone prints", hint=_HINT) from None
    if not isinstance(tree, dict) or not all(isinstance(remote, dict) for remote in tree.values()):
        raise InvalidConfiguration("it does not hold remotes", hint=_HINT)
    return {name: {key: str(value) for key, value in remote.items()} for name, remote in tree.items()}


def _remote(name: str, remotes: Mapping[str, Remote]) -> FoundProvider | Skipped:
    try:
        return _found(name, "", remotes, 0)
    except InvalidConfiguration as error:
        return Skipped(source=name, reason=error.message)


def _found(name: str, path: str, remotes: Mapping[str, Remote], depth: int) -> FoundProvider:
    remote = remotes.get(name)
    if remote is None:
        raise InvalidConfiguration(f"it wraps the remote {name!r}, which does not exist")
    if depth > _DEEPEST:
        raise InvalidConfiguration("it wraps itself")
    kind = remote.get("type", "")
    if kind in ("alias", "crypt"):
        return _wrapping(name, remote, path, remotes, depth)
    reader = _READERS.get(kind)
    if reader is None:
        raise InvalidConfiguration(f"this program has no service for rclone's type {kind!r}")
    found = reader(name, remote, path)
    left = [key for key in _WITHOUT_COUNTERPART.get(kind, ()) if remote.get(key, "") not in ("", "false")]
    note = (f"not imported, because this program has no counterpart: {', '.join(left)}",) if left else ()
    return msgspec.structs.replace(found, notes=(*found.notes, *note))


def _wrapping(name: str, remote: Remote, path: str, remotes: Mapping[str, Remote], depth: int) -> FoundProvider:
    inner, colon, inner_path = remote.get("remote", "").partition(":")
    below = "/".join(part for part in (inner_path.rstrip("/") if colon else inner.rstrip("/"), path) if part)
    found = _found(inner, below, remotes, depth + 1) if colon else _local(name, remote, below)
    encryption = _encryption(remote) if remote["type"] == "crypt" else {}
    if encryption and "encryption_key" in found.fields:
        raise InvalidConfiguration("it encrypts a remote that is already encrypted")
    return FoundProvider(source=name, service=found.service, fields={**found.fields, **encryption}, notes=found.notes)


def _encryption(remote: Remote) -> dict[str, Any]:
    layout = {"filename_encryption": "standard", "directory_name_encryption": "true", "filename_encoding": "base32",
              "suffix": ".bin", "no_data_encryption": "false"}  # fmt: skip
    other = [key for key, usual in layout.items() if key != "suffix" and remote.get(key, usual) != usual]
    if other:
        raise InvalidConfiguration(f"its encryption differs from rclone's standard in {', '.join(other)}")
    salt = remote.get("password2", "")
    return {
        "encryption_enabled": True,
        "encryption_key": reveal(remote.get("password", "")),
        "encryption_salt": reveal(salt) if salt else None,
    }


def _s3(name: str, remote: Remote, path: str) -> FoundProvider:
    container, prefix = _split(path)
    notes = []
    if remote.get("env_auth") == "true" and not remote.get("access_key_id"):
        notes.append("its keys come from the environment or an AWS profile, and are not in rclone's configuration")
    if any(remote.get(key) for key in ("sse_customer_key", "sse_customer_key_base64", "sse_customer_algorithm")):
        notes.append("objects encrypted with a customer's key (SSE-C) cannot be read by this program")
    style = {"true": "path", "false": "virtual"}.get(remote.get("force_path_style", ""))
    fields = {
        "access_key": remote.get("access_key_id"),
        "secret_key": remote.get("secret_access_key"),
        "session_token": remote.get("session_token"),
        "region": remote.get("region"),
        "endpoint_url": _url(remote.get("endpoint", "")),
        "addressing_style": style,
        "profile": remote.get("profile"),
        "container": container,
        "prefix": prefix,
    }
    return FoundProvider(source=name, service="aws_s3", fields=fields, notes=tuple(notes))


def _b2(name: str, remote: Remote, path: str) -> FoundProvider:
    container, prefix = _split(path)
    fields = {
        "application_key_id": remote.get("account"),
        "application_key": remote.get("key"),
        "realm": _url(remote.get("endpoint", "")),
        "delete_versions": remote.get("hard_delete") == "true",
        "container": container,
        "prefix": prefix,
    }
    return FoundProvider(source=name, service="backblaze", fields=fields)


def _dropbox(name: str, remote: Remote, path: str) -> FoundProvider:
    fields = {
        "app_key": remote.get("client_id"),
        "refresh_token": _refresh_token(remote),
        "container": f"/{path.strip('/')}" if path.strip("/") else None,
    }
    notes = _of_another_app(remote)
    if not notes and remote.get("client_secret"):  # Dropbox renews such a token only with the secret
        notes = ("its token can be renewed only with the app's secret, which is not used here: authorise this program",)
    return FoundProvider(source=name, service="dropbox", fields=fields, notes=notes)


def _drive(name: str, remote: Remote, path: str) -> FoundProvider:
    scope = remote.get("scope") or "drive"  # rclone's default
    notes = _of_another_app(remote)
    if scope not in _SCOPES:
        notes += (f"its scope {scope} does not allow backups: authorise this program",)
    fields = {
        "client_id": remote.get("client_id"),
        "client_secret": _maybe(remote.get("client_secret", "")),
        "refresh_token": _refresh_token(remote),
        "service_account_json": _maybe(remote.get("service_account_credentials", "")),
        "shared_drive_id": remote.get("team_drive"),
        "scope": scope if scope in _SCOPES else None,
        "use_trash": remote.get("use_trash") != "false",
        "acknowledge_abuse": remote.get("acknowledge_abuse") == "true",
        "container": None if remote.get("root_folder_id") else path.strip("/") or None,
    }
    return FoundProvider(source=name, service="google_drive", fields=fields, notes=notes)


def _local(name: str, remote: Remote, path: str) -> FoundProvider:
    if not path.startswith("/"):
        raise InvalidConfiguration("it names no absolute folder")
    return FoundProvider(source=name, service="local", fields={"container": path})


_READERS: Final[dict[str, Callable[[str, Remote, str], FoundProvider]]] = {
    "s3": _s3,
    "b2": _b2,
    "dropbox": _dropbox,
    "drive": _drive,
    "local": _local,
}


def _split(path: str) -> tuple[str, str]:
    container, _, prefix = path.strip("/").partition("/")
    return container, f"{prefix}/" if prefix else ""


def _url(endpoint: str) -> str:
    return endpoint if not endpoint or "://" in endpoint else f"https://{endpoint}"


def _of_another_app(remote: Remote) -> tuple[str, ...]:
    if remote.get("client_id") or remote.get("service_account_credentials") or remote.get("service_account_file"):
        return ()
    return ("its token belongs to rclone's own app: authorise this program again",)


def _maybe(text: str) -> Secret | None:
    return Secret(text) if text else None


def _refresh_token(remote: Remote) -> Secret | None:
    """The refresh token. `expiry` in the file is that of the access token (1 to 4 hours); rclone knows no other."""
    try:
        token = json.loads(remote.get("token") or "{}").get("refresh_token")
    except (ValueError, AttributeError):
        raise InvalidConfiguration("its token cannot be read") from None
    return _maybe(token) if isinstance(token, str) else None
