"""Who signs: the keys of the form, or what AWS's own chain finds. botocore is loaded only for the chain."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from providers.aws_s3.profiles import CONFIG_FILE, CREDENTIALS_FILE, named_profile
from providers.aws_s3.signature import Keys
from providers.errors import Authentication, InvalidConfiguration, ProviderError
from providers.http.network import Network
from providers.secret import Secret

if TYPE_CHECKING:
    from providers.aws_s3.settings import Settings

_REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")
_WEB_IDENTITY: Final = {
    "web_identity_token_file": "AWS_WEB_IDENTITY_TOKEN_FILE",
    "role_session_name": "AWS_ROLE_SESSION_NAME",
    "role_arn": "AWS_ROLE_ARN",
}
"""What the profile calls it, and the environment."""
_ASKED_BY_THE_CHAIN: Final = "sts.amazonaws.com"
"""Which proxy leads to AWS itself."""


class KeySource:
    """Keys are looked up when they are first needed, which may ask the network (role of the machine, SSO), and
    renewed by botocore when they are about to expire."""

    def __init__(self, settings: Settings, network: Network) -> None:
        self._settings = settings
        self._network = network
        self._lock = threading.Lock()
        self._own: Keys | None = None
        self._chain: Any = None
        if settings.access_key:
            if not settings.secret_key:
                raise InvalidConfiguration(
                    "secret_key: missing, but there is an access key", field="secret_key", hint="Use set-credentials."
                )
            self._own = Keys(settings.access_key, settings.secret_key, settings.session_token)

    @property
    def described(self) -> str:
        """Whose keys they are, without asking for them."""
        if self._settings.access_key:
            return self._settings.access_key
        return f"profile {self._settings.profile}" if self._settings.profile else "AWS chain"

    def __call__(self) -> Keys:
        """Raises Authentication when there are none."""
        return self._own or self._from_chain()

    def region(self) -> str:
        """What the profile or the environment says; '' when they say nothing. Reads files, not the network."""
        if self._own and not self._settings.profile:
            return ""
        told = next((self._environment[name] for name in _REGIONS if self._environment.get(name)), "")
        if told:
            return told
        from botocore.exceptions import BotoCoreError

        try:
            return str(self._session().get_scoped_config().get("region") or "")
        except (BotoCoreError, OSError) as error:
            raise self._meant(error) from error

    @property
    def _environment(self) -> Mapping[str, str]:
        return self._network.environment

    @property
    def _profile(self) -> str:
        return named_profile(self._settings.profile, self._environment)

    def _session(self) -> Any:
        """botocore's chain as it is for whoever asked. It would look into the environment of this process."""
        import botocore.session
        from botocore.config import Config
        from botocore.configprovider import ConstantProvider

        told = self._environment
        profile = self._profile
        session = botocore.session.Session(profile=profile or None)
        known = session.get_component("config_store")
        for name, value in (
            ("profile", profile or None),
            ("config_file", told.get("AWS_CONFIG_FILE") or CONFIG_FILE),
            ("credentials_file", told.get("AWS_SHARED_CREDENTIALS_FILE") or CREDENTIALS_FILE),
        ):
            known.set_config_provider(name, ConstantProvider(value))
        region = next((told[name] for name in _REGIONS if told.get(name)), None)
        if region:
            session.set_config_variable("region", region)
        if told.get("AWS_EC2_METADATA_SERVICE_ENDPOINT"):
            session.set_config_variable("ec2_metadata_service_endpoint", told["AWS_EC2_METADATA_SERVICE_ENDPOINT"])
        ca_path = self._network.ca_path()
        if ca_path:
            session.set_config_variable("ca_bundle", ca_path)
        proxy = self._network.proxy_for("https", _ASKED_BY_THE_CHAIN)
        session.set_default_client_config(Config(proxies={"https": proxy.url} if proxy else {}))
        return session

    def _as_asked(self, session: Any) -> None:
        """Have the chain take the variables that name roles and files from whoever asked: botocore's own parts of it
        look into the environment of this process."""
        from botocore.credentials import AssumeRoleWithWebIdentityProvider, EnvProvider

        told = self._environment
        profile = self._profile
        named = {} if profile else {key: told[name] for key, name in _WEB_IDENTITY.items() if told.get(name)}

        def configured() -> dict[str, Any]:
            profiles = session.full_config.get("profiles", {})
            return {"profiles": {profile: {**profiles.get(profile or "default", {}), **named}}}

        chain = session.get_component("credential_provider")
        chain.remove("env")
        chain.remove(AssumeRoleWithWebIdentityProvider.METHOD)
        by_web_identity = AssumeRoleWithWebIdentityProvider(
            configured, session.create_client, profile, disable_env_vars=True
        )
        chain.insert_after("assume-role", by_web_identity)
        for name in ("ec2-credentials-file", "boto-config", "container-role"):
            chain.get_provider(name)._environ = told
        for source in chain.get_provider("assume-role")._credential_sourcer._providers:
            if isinstance(source, EnvProvider):
                source.environ = told
        disabled = told.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true"
        chain.get_provider("iam-role")._role_fetcher._disabled = disabled

    def _from_environment(self) -> Keys | None:
        """Keys that whoever asked has in the environment; None where there are none, or a profile counts first.

        They are secrets, and do not travel with a job: a process that works for others knows which they were, and may
        have the same itself.
        """
        told = self._environment
        access_key = told.get("AWS_ACCESS_KEY_ID")
        if not access_key or self._settings.profile:
            return None
        found: Mapping[str, str] = told if told.get("AWS_SECRET_ACCESS_KEY") else os.environ
        secret = found.get("AWS_SECRET_ACCESS_KEY")
        if not secret or found.get("AWS_ACCESS_KEY_ID") != access_key:
            raise Authentication(
                f"the key {access_key} was in the environment (AWS_ACCESS_KEY_ID), and its secret is not here",
                hint="Secrets of the environment do not reach the worker. Use set-credentials, or name a profile.",
            )
        token = found.get("AWS_SESSION_TOKEN") or found.get("AWS_SECURITY_TOKEN")
        return Keys(access_key, Secret(secret), Secret(token) if token else None)

    def _meant(self, error: Exception) -> ProviderError:
        """botocore's errors, the plain ones included that it lets through; what they say may hold no secret of ours."""
        from botocore.exceptions import ConfigParseError, ProfileNotFound

        if isinstance(error, ProfileNotFound):
            return InvalidConfiguration(
                f"profile: there is no {self._profile!r} in ~/.aws/config or ~/.aws/credentials",
                field="profile",
            )
        if isinstance(error, (ConfigParseError, OSError)):
            return InvalidConfiguration(
                f"the files of the AWS chain cannot be read: {error}",
                field="profile",
                hint="Repair ~/.aws/config and ~/.aws/credentials, or use set-credentials.",
            )
        return Authentication(
            f"the AWS chain gave no credentials: {type(error).__name__}",
            hint="Renew them (aws sso login), or use set-credentials.",
        )

    def _from_chain(self) -> Keys:
        from botocore.exceptions import BotoCoreError

        with self._lock:
            try:
                keys = self._from_environment()
                if keys is not None:
                    return keys
                if self._chain is None:
                    session = self._session()
                    self._as_asked(session)
                    self._chain = session.get_credentials()
                if self._chain is None:
                    raise Authentication(
                        "no access key is set, and the AWS chain (environment, profile, role) finds none",
                        hint="Use set-credentials, or name a profile.",
                    )
                frozen = self._chain.get_frozen_credentials()
            except (BotoCoreError, OSError, RuntimeError) as error:  # the last: what it renewed has expired already
                raise self._meant(error) from error
        token = Secret(frozen.token) if frozen.token else None
        return Keys(frozen.access_key, Secret(frozen.secret_key), token)
