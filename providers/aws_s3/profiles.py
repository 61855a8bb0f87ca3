"""AWS profiles, read without the SDK as far as this program needs them."""

from __future__ import annotations

import configparser
import os
import shlex
from collections.abc import Mapping
from typing import Final

REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")
"""Environment variables, in order of precedence."""
CONFIG_FILE: Final = "~/.aws/config"
CREDENTIALS_FILE: Final = "~/.aws/credentials"


def named_profile(profile: str, environment: Mapping[str, str]) -> str:
    """The name of the profile; '' for none. `profile` comes from the settings and takes precedence."""
    return profile or environment.get("AWS_DEFAULT_PROFILE") or environment.get("AWS_PROFILE") or ""


def credential_source(profile: str, environment: Mapping[str, str]) -> str:
    """The profile's source of keys for its role: 'Environment', 'EcsContainer', 'Ec2InstanceMetadata'. Empty if it
    names none, or if the files cannot be read: their later use reports the error.

    https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-role.html
    """
    profiles = _sections(environment.get("AWS_CONFIG_FILE") or CONFIG_FILE, of_config=True)
    for name, section in _sections(environment.get("AWS_SHARED_CREDENTIALS_FILE") or CREDENTIALS_FILE).items():
        profiles[name] = profiles.get(name, {}) | section
    seen: set[str] = set()
    while profile not in seen:
        seen.add(profile)
        section = profiles.get(profile, {})
        if "credential_source" in section:
            return section["credential_source"].strip()
        profile = section.get("source_profile", "").strip()
    return ""


def _sections(path: str, *, of_config: bool = False) -> dict[str, dict[str, str]]:
    """Sections by profile name."""
    parser = configparser.RawConfigParser(default_section="", strict=False)
    try:
        with open(os.path.expanduser(path), encoding="utf-8") as file:
            parser.read_file(file)
        words = {name: shlex.split(name) if of_config else [name] for name in parser.sections()}
    except (configparser.Error, OSError, ValueError):
        return {}
    named = {name: parts[-1] for name, parts in words.items() if parts and (len(parts) == 1 or parts[0] == "profile")}
    return {profile: dict(parser.items(name)) for name, profile in named.items()}
