"""The part of a command's environment that is stored with the job it queues.

The worker may have been started by another command, from another shell. A job runs with the proxies, certificates and
profiles that it was checked with: the journal holds these variables, but no secrets.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final

from backup.config import file
from backup.system.paths import Paths
from providers import registry, settings
from providers.errors import InvalidConfiguration
from providers.http.network import Network
from providers.http.settings import NetworkSettings
from providers.remedies import Action, Remedy
from providers.settings import holds_password

_FILES: Final = frozenset(
    {"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE", "AWS_CONFIG_FILE"}
    | {"AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"}
    | {"AWS_CREDENTIAL_FILE", "BOTO_CONFIG"}
)
"""Paths: made absolute, since the worker runs in another folder."""
_LISTS: Final = frozenset({"SSL_CERT_DIR"})
"""Variables with several paths; in others a ':' is part of a file's name."""
_ADDRESS: Final = re.compile(r"_(PROXY|URI|ENDPOINT(_URL\w*)?)$", re.IGNORECASE)
"""Endings of variable names whose values may contain a password."""


def travelling(
    paths: Paths,
    instance: str,
    environment: Mapping[str, str] | None = None,
    *,
    refused: str = "nothing was queued",
) -> dict[str, str]:
    """The variables that affect an instance of this service; without `environment` those of this process.

    Raises InvalidConfiguration if they contain a secret: the password of a proxy, or keys. `refused` then says what did
    not happen.
    """
    found = file.load(paths).instance(instance)
    cls = registry.spec(found.type).settings
    if cls is None or not issubclass(cls, NetworkSettings):
        return {}
    variables = os.environ if environment is None else environment
    loaded = settings.load(cls, found.values)
    _refuse_password(instance, Network(loaded, variables), refused)
    _refuse_keys(instance, loaded.secrets_in(variables), refused)
    named = (name for name in cls.variables if name in variables and not _has_password(name, variables[name]))
    return {name: _absolute(name, variables[name]) for name in named}


def without_passwords(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for the worker, without passwords: jobs do not use those either."""
    secret = {name for name in NetworkSettings.variables if holds_password(environment.get(name, ""))}
    return {name: value for name, value in environment.items() if name not in secret}


def _has_password(name: str, value: str) -> bool:
    return bool(_ADDRESS.search(name)) and holds_password(value)


def _refuse_password(instance: str, network: Network, refused: str) -> None:
    variable, address = network.variable_for(network.settings.address)
    if not holds_password(address):
        return
    raise InvalidConfiguration(
        f"{variable} holds a password, which is not written into the queue: {refused}",
        field="proxy",
        hint="Save it in the settings, with the password separate.",
        remedies=(
            Remedy(Action.SET_SETTING, instance, "proxy", "http://user@host:port"),
            Remedy(Action.SET_CREDENTIALS, instance, "proxy_password"),
        ),
    )


def _refuse_keys(instance: str, names: tuple[str, ...], refused: str) -> None:
    if not names:
        return
    raise InvalidConfiguration(
        f"{instance} would be used with secrets of this environment ({', '.join(names)}), which are not written into"
        f" the queue: {refused}",
        hint="Save a key, or name a profile. If you do not want to use these variables, unset them.",
        remedies=(Remedy(Action.SET_CREDENTIALS, instance), Remedy(Action.SET_SETTING, instance, "profile", "NAME")),
    )


def _absolute(name: str, value: str) -> str:
    if name not in _FILES or not value:
        return value
    places = value.split(os.pathsep) if name in _LISTS else [value]
    return os.pathsep.join(os.path.abspath(os.path.expanduser(each)) for each in places if each)
