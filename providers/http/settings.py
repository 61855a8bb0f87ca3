"""Settings shared by all network services. Imports no SDK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from providers.secret import Secret
from providers.settings import ProviderSettings, setting


class NetworkSettings(ProviderSettings, kw_only=True, frozen=True):
    """Network settings of a service. They take precedence over the environment."""

    variables: ClassVar[tuple[str, ...]] = (
        *("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
    )
    """Environment variables that have an effect. None is a secret, but the address of a proxy may hold one."""
    home: ClassVar[str] = ""
    """Address of the service, unless a setting overrides it."""

    ca_bundle: Annotated[
        str,
        setting(
            "CA certificates",
            "File or folder of trusted certificates (PEM). Empty: from the environment, else the system's.",
            place=False,
            placeholder="/etc/ssl/my-ca.pem",
            advanced=True,
            path=True,
        ),
    ] = ""
    proxy: Annotated[
        str,
        setting(
            "Proxy",
            "Address of the HTTP proxy for all requests. Empty: from the environment, if set.",
            place=False,
            placeholder="http://user@proxy.example.net:3128",
            advanced=True,
        ),
    ] = ""
    proxy_password: Annotated[
        Secret | None, setting("Proxy password", "Password of the user in `proxy`.", advanced=True)
    ] = None

    def secrets_in(self, environment: Mapping[str, str]) -> tuple[str, ...]:
        """Secrets that requests would take from this environment, as variable names. A job cannot carry these along."""
        return ()

    @property
    def address(self) -> str:
        """Address that requests go to, according to the settings."""
        return str(getattr(self, "endpoint_url", "") or getattr(self, "realm", "") or self.home)
