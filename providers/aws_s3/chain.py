"""botocore's credential chain (profile, SSO, assumed role, instance role) in the environment of the caller.

botocore reads the environment of this process, which may be a worker that another command started. Here every
variable comes from `Network.environment`. Imports botocore, so import this module only to ask the chain.
"""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Mapping
from typing import Any, Final

from botocore.config import Config
from botocore.configprovider import ConfigChainFactory, ConfiguredEndpointProvider
from botocore.credentials import AssumeRoleWithWebIdentityProvider, EnvProvider, ProcessProvider
from botocore.httpsession import URLLib3Session
from botocore.session import Session

from providers.aws_s3.profiles import REGIONS
from providers.http.network import Network

_WEB_IDENTITY: Final = {
    "web_identity_token_file": "AWS_WEB_IDENTITY_TOKEN_FILE",
    "role_session_name": "AWS_ROLE_SESSION_NAME",
    "role_arn": "AWS_ROLE_ARN",
}
"""Name in the profile -> variable in the environment."""
_AWS_ITSELF: Final = "sts.amazonaws.com"
"""Host name used to choose the proxy for AWS itself."""


class CallerSession(Session):  # type: ignore[misc]
    """A session that takes all variables from the caller: files, region, endpoints, certificates and the proxy."""

    def __init__(self, profile: str, network: Network) -> None:
        """`profile` may be ''."""
        super().__init__(profile=profile or None)
        self.environment: Mapping[str, str] = {name: value for name, value in network.environment.items() if value}
        self._ca_path = network.ca_path()
        factory = ConfigChainFactory(session=self, environ=self.environment)
        known = self.get_component("config_store")
        for name, (in_files, in_environment, default, convert) in self.session_var_map.items():
            chain = factory.create_config_chain(
                instance_name=name,
                env_var_names=in_environment,
                config_property_names=in_files,
                default=default,
                conversion_func=convert,
            )
            known.set_config_provider(name, chain)
        region = next((self.environment[name] for name in REGIONS if name in self.environment), None)
        if region:
            self.set_config_variable("region", region)
        proxy = network.proxy_for("https", _AWS_ITSELF)
        self.set_default_client_config(Config(proxies={"https": proxy.url} if proxy else {}))

    def create_client(self, service_name: str, *args: Any, **more: Any) -> Any:
        """As in botocore, but with the caller's endpoint and certificates."""
        if not more.get("endpoint_url") and not self.get_config_variable("ignore_configured_endpoint_urls"):
            more["endpoint_url"] = ConfiguredEndpointProvider(
                self.full_config, self.get_scoped_config(), service_name, environ=self.environment
            ).provide()
        own = Config(ignore_configured_endpoint_urls=True)  # else botocore would read this process's environment
        more["config"] = more["config"].merge(own) if more.get("config") else own
        if more.get("verify") is None:
            more["verify"] = self._ca_path or self.get_config_variable("ca_bundle") or True
        return super().create_client(service_name, *args, **more)


def credentials(session: CallerSession, profile: str) -> Any:
    """Credentials found by the chain, or None. Raises botocore's exceptions."""
    _redirect_providers(session, profile)
    return session.get_credentials()


def _redirect_providers(session: CallerSession, profile: str) -> None:
    """Redirect the parts of the chain that read the process environment directly."""
    environment = session.environment
    named = {} if profile else {key: environment[name] for key, name in _WEB_IDENTITY.items() if name in environment}

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
        chain.get_provider(name)._environ = environment
    by_role = chain.get_provider("assume-role")
    for source in by_role._credential_sourcer._providers:
        if isinstance(source, EnvProvider):
            source.environ = environment
    popen = functools.partial(subprocess.Popen, env=_for_programs(environment))
    chain.get_provider("custom-process")._popen = popen
    by_role._profile_provider_builder._create_process_provider = lambda name: ProcessProvider(
        name, lambda: session.full_config, popen
    )
    machine = chain.get_provider("iam-role")._role_fetcher
    machine._disabled = environment.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true"
    machine._session = URLLib3Session(timeout=machine._timeout)  # link-local address: never through a proxy


def _for_programs(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a `credential_process`: this process's, with the caller's AWS variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return kept | {name: value for name, value in environment.items() if name.startswith("AWS_")}
