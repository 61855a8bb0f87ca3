"""Import of AWS credentials: profiles, and the output of a `credential_process`. Pure, as `json_file`."""

from __future__ import annotations

import configparser
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from backup.credentials.importing.json_file import FoundProvider, ImportFindings, Services, Skipped, fitted
from providers.errors import InvalidConfiguration

_NO_KEYS: Final = {
    "role_arn": "it assumes a role",
    "credential_process": "its keys come from a command",
    "sso_session": "it signs in with SSO",
    "sso_start_url": "it signs in with SSO",
}


_ENDS: Final = ("x_security_token_expires", "aws_expiration", "aws_session_expiration", "expiration")
"""Keys under which programs note the expiry of temporary keys in a profile: saml2aws, aws-vault and others. The AWS CLI
ignores them."""


def from_aws(text: str, config: str = "", services: Services | None = None) -> ImportFindings:
    """`from_aws_process` if the text is JSON, else `from_aws_profiles`."""
    if text.removeprefix("\ufeff").lstrip().startswith("{"):
        return from_aws_process(text, services)
    return from_aws_profiles(text, config, services)


def from_aws_process(printed: str, services: Services | None = None) -> ImportFindings:
    """Read the output of a `credential_process`, `aws configure export-credentials` or `aws sts`: one set of keys and
    its expiry. Raises InvalidConfiguration for anything else.

    Source: AWS CLI User Guide, "Sourcing credentials with an external process".
    """
    try:
        tree: Any = json.loads(printed.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        tree = None
    found = tree.get("Credentials", tree) if isinstance(tree, dict) else None
    if not isinstance(found, dict) or not found.get("AccessKeyId") or not found.get("SecretAccessKey"):
        raise InvalidConfiguration(
            "it does not hold AccessKeyId and SecretAccessKey", hint="Pass the output of the credential_process."
        )
    values = {
        "aws_access_key_id": str(found["AccessKeyId"]),
        "aws_secret_access_key": str(found["SecretAccessKey"]),
        "aws_session_token": str(found.get("SessionToken") or ""),
        "expiration": str(found.get("Expiration") or ""),
    }
    return fitted([_profile("default", values)], services)


def from_aws_profiles(credentials: str, config: str = "", services: Services | None = None) -> ImportFindings:
    """Every profile of ~/.aws/credentials, with region and endpoint from ~/.aws/config.

    A profile whose keys are generated each time is skipped: use it by its name, in the setting `profile`. Raises
    InvalidConfiguration if a text is not such a file.
    """
    profiles: dict[str, dict[str, str]] = {}
    for text, prefix in ((config, "profile "), (credentials, "")):
        for section, values in _ini(text).items():
            if prefix and not (section.startswith(prefix) or section == "default"):
                continue
            profiles.setdefault(section.removeprefix(prefix).strip(), {}).update(values)
    return fitted((_profile(name, values) for name, values in profiles.items()), services)


def _profile(name: str, values: Mapping[str, str]) -> FoundProvider | Skipped:
    if not values.get("aws_access_key_id") or not values.get("aws_secret_access_key"):
        reason = next((why for key, why in _NO_KEYS.items() if key in values), "it has no keys")
        return Skipped(source=name, reason=f"{reason}; set its name as `profile` of a provider instead")
    session = values.get("aws_session_token")
    nested = dict(re.findall(r"^\s*(\w+)\s*=\s*(\S+)\s*$", values.get("s3", ""), re.MULTILINE))
    return FoundProvider(
        source="aws_s3" if name == "default" else name,
        service="aws_s3",
        fields={
            "access_key": values["aws_access_key_id"],
            "secret_key": values["aws_secret_access_key"],
            "session_token": session,
            "region": values.get("region"),
            "endpoint_url": nested.get("endpoint_url") or values.get("endpoint_url"),
            "addressing_style": nested.get("addressing_style"),
            "ca_bundle": values.get("ca_bundle"),
        },
        expires_at=_ends_at(values) if session else None,
        notes=("these are temporary credentials, which expire within hours",) if session else (),
    )


def _ends_at(values: Mapping[str, str]) -> float | None:
    """Expiry in seconds since 1970; None if missing or not ISO 8601."""
    text = next((values[key] for key in _ENDS if values.get(key)), "")
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _ini(text: str) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(default_section="\0", strict=False)
    try:
        parser.read_string(text.removeprefix("\ufeff"))
    except configparser.Error as error:  # its text repeats lines of the file
        line = getattr(error, "lineno", None) or next((number for number, _ in getattr(error, "errors", ())), 0)
        raise InvalidConfiguration(f"not a file of AWS profiles: line {line}", hint="Correct that line.") from None
    return {section: dict(parser.items(section)) for section in parser.sections()}
