"""Access keys: from the settings, or from AWS's credential chain. Loads botocore only for the chain."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from providers.aws_s3.client import Keys
from providers.aws_s3.profiles import REGIONS, named_profile
from providers.errors import Authentication, InvalidConfiguration, ProviderError, Transient
from providers.http.network import Network
from providers.remedies import Action, Remedy
from providers.secret import Secret

if TYPE_CHECKING:
    from providers.aws_s3.chain import CallerSession
    from providers.aws_s3.settings import Settings

_SET_CREDENTIALS: Final = (Remedy(Action.SET_CREDENTIALS),)


class KeySource:
    """Looks keys up on first use, possibly over the network (instance role, SSO). botocore renews them before they
    expire."""

    def __init__(self, settings: Settings, network: Network) -> None:
        self._settings = settings
        self._network = network
        self._lock = threading.Lock()
        self._own: Keys | None = None
        self._chain: Any = None
        if settings.access_key:
            if not settings.secret_key:
                raise InvalidConfiguration(
                    "secret_key: missing, but there is an access key", field="secret_key", remedies=_SET_CREDENTIALS
                )
            self._own = Keys(settings.access_key, settings.secret_key, settings.session_token)

    @property
    def described(self) -> str:
        """Name of the key source for messages. Looks nothing up."""
        if self._settings.access_key:
            return self._settings.access_key
        return f"profile {self._settings.profile}" if self._settings.profile else "AWS chain"

    def __call__(self) -> Keys:
        """Raises Authentication if there are no keys."""
        return self._own or self._from_chain()

    def region(self) -> str:
        """Region from the environment or the profile, or ''. Reads files, not the network."""
        if self._own and not self._settings.profile:
            return ""
        region = next((self._environment[name] for name in REGIONS if self._environment.get(name)), "")
        if region:
            return region
        from botocore.exceptions import BotoCoreError

        try:
            return str(self._session().get_scoped_config().get("region") or "")
        except (BotoCoreError, OSError) as error:
            raise self._translated(error) from error

    @property
    def _environment(self) -> Mapping[str, str]:
        return self._network.environment

    @property
    def _profile(self) -> str:
        return named_profile(self._settings.profile, self._environment)

    def _session(self) -> CallerSession:
        from providers.aws_s3.chain import CallerSession

        return CallerSession(self._profile, self._network)

    def _from_environment(self) -> Keys | None:
        """Keys from the caller's environment. None if there are none, or if a profile takes precedence.

        Keys are secrets and are not stored with a job. The worker knows only the access key id, and may have the
        same keys in its own environment.
        """
        environment = self._environment
        access_key = environment.get("AWS_ACCESS_KEY_ID")
        if not access_key or self._settings.profile:
            return None
        found: Mapping[str, str] = environment if environment.get("AWS_SECRET_ACCESS_KEY") else os.environ
        secret = found.get("AWS_SECRET_ACCESS_KEY")
        if not secret or found.get("AWS_ACCESS_KEY_ID") != access_key:
            raise Authentication(
                f"the key {access_key} was in the environment (AWS_ACCESS_KEY_ID), but its secret is not here",
                hint="Secrets of the environment do not reach the worker. Name a profile, or keep the key.",
                remedies=_SET_CREDENTIALS,
            )
        token = found.get("AWS_SESSION_TOKEN") or found.get("AWS_SECURITY_TOKEN")
        return Keys(access_key, Secret(secret), Secret(token) if token else None)

    def _translated(self, error: Exception) -> ProviderError:
        """Translates errors of botocore, and plain ones that it lets through. The text must not contain our secrets."""
        from botocore.exceptions import (
            ClientError,
            ConfigParseError,
            ConnectionError,
            HTTPClientError,
            ProfileNotFound,
            SSLError,
        )

        if isinstance(error, ProfileNotFound):
            return InvalidConfiguration(
                f"profile: there is no {self._profile!r} in ~/.aws/config or ~/.aws/credentials",
                field="profile",
            )
        if isinstance(error, SSLError):
            return InvalidConfiguration(
                f"{self._network.ca_source}: the certificate of AWS's credential service is not trusted",
                hint="Check this machine's clock; if a proxy intercepts TLS, add its CA to ca_bundle.",
                field="ca_bundle" if self._network.ca_source == "ca_bundle" else "",
            )
        if isinstance(error, (ConnectionError, HTTPClientError)):  # some of these are an OSError as well
            return Transient(
                f"AWS's credential service (STS or SSO) cannot be reached: {type(error).__name__}",
                hint="Check network and proxy, and any address set by AWS_ENDPOINT_URL or the profile.",
                code="CONNECTION",
            )
        if isinstance(error, ClientError):
            return _refused(error.response)
        if isinstance(error, (ConfigParseError, OSError)):
            return InvalidConfiguration(
                f"the AWS configuration files cannot be read: {error}",
                field="profile",
                hint="Repair ~/.aws/config and ~/.aws/credentials, or keep a key.",
                remedies=_SET_CREDENTIALS,
            )
        return Authentication(
            f"the AWS chain gave no credentials: {type(error).__name__}",
            hint="Renew them (aws sso login), or keep a key.",
            remedies=_SET_CREDENTIALS,
        )

    def _from_chain(self) -> Keys:
        from botocore.exceptions import BotoCoreError, ClientError

        from providers.aws_s3.chain import credentials

        with self._lock:
            try:
                keys = self._from_environment()
                if keys is not None:
                    return keys
                if self._chain is None:
                    self._chain = credentials(self._session(), self._profile)
                if self._chain is None:
                    raise Authentication(
                        "no access key is set, and the AWS chain (environment, profile, role) finds none",
                        hint="Name a profile, or keep a key.",
                        remedies=_SET_CREDENTIALS,
                    )
                frozen = self._chain.get_frozen_credentials()
            except (BotoCoreError, ClientError, OSError, RuntimeError) as error:  # RuntimeError: still expired
                raise self._translated(error) from error
        token = Secret(frozen.token) if frozen.token else None
        return Keys(frozen.access_key, Secret(frozen.secret_key), token)


def _refused(response: Mapping[str, Any]) -> ProviderError:
    """Translates an error answer of STS or SSO. botocore has already retried it."""
    code = str(response.get("Error", {}).get("Code", ""))[:100]
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status in (408, 429) or status >= 500 or code.startswith("Throttl"):
        return Transient(f"AWS's credential service (STS or SSO) answered {status} ({code})", code=code)
    return Authentication(
        f"AWS's credential service (STS or SSO) gave no credentials: {code}",
        hint="Check that these keys may assume the role of the profile, and that they are still valid.",
        code=code,
    )
