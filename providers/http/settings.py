"""What every service over the network has besides the standard structure. Imports no SDK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from providers.secret import Secret
from providers.settings import ProviderSettings, setting


class NetworkSettings(ProviderSettings, kw_only=True, frozen=True):
    """What every service over the network has besides: how to get there. What is set here counts before the
    environment."""

    variables: ClassVar[tuple[str, ...]] = (
        *("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
    )
    """Those of the environment that have an effect. None is a secret, but a proxy's address may hold one."""
    home: ClassVar[str] = ""
    """Where requests go without a setting that says otherwise."""

    ca_bundle: Annotated[
        str,
        setting(
            "CA certificates",
            "File or folder of the certificates (PEM) to trust. Empty: what the environment names, else the system's.",
            placeholder="/etc/ssl/my-ca.pem",
            advanced=True,
            path=True,
        ),
    ] = ""
    proxy: Annotated[
        str,
        setting(
            "Proxy",
            "Address of an HTTP proxy to go through, always. Empty: what the environment names, if anything.",
            placeholder="http://user@proxy.example.net:3128",
            advanced=True,
        ),
    ] = ""
    proxy_password: Annotated[
        Secret | None, setting("Proxy password", "The password of the user that `proxy` names.", advanced=True)
    ] = None

    def secrets_in(self, environment: Mapping[str, str]) -> tuple[str, ...]:
        """The variables with secrets that requests would rest on in this environment. No job can bring those along."""
        return ()

    @property
    def address(self) -> str:
        """Where requests go, as far as settings tell."""
        return str(getattr(self, "endpoint_url", "") or getattr(self, "realm", "") or self.home)
