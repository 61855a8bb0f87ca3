"""Route to a service: the proxy to use and the certificates to trust.

The settings of the instance come first, then the environment of the user (`ProviderContext.environment`). That is not
always the environment of this process: the worker runs jobs queued by commands with other environments.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from providers.errors import InvalidConfiguration, descriptors_exhausted
from providers.http.settings import NetworkSettings

CA_VARIABLES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
"""Variables that name certificates for every service; the first one set counts."""
_PROXY_PORT: Final = 3128
_LOCAL_NAMES: Final = ("localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback")


@dataclass(frozen=True)
class Proxy:
    host: str
    port: int
    authorization: str = ""
    url: str = field(default="", repr=False)
    """The full address with the password, as SDKs need it."""


@dataclass(frozen=True)
class Network:
    """The route of one instance. Reads and connects to nothing until asked."""

    settings: NetworkSettings
    environment: Mapping[str, str]
    ca_variables: tuple[str, ...] = CA_VARIABLES

    @property
    def ca_source(self) -> str:
        """The setting or variable to name in messages about certificates."""
        return self._ca()[0] or "ca_bundle"

    def proxy_for(self, scheme: str, authority: str) -> Proxy | None:
        """The proxy for one address; None for a direct connection. Raises InvalidConfiguration, which never repeats
        text that may hold a password."""
        if self.settings.proxy:
            password = self.settings.proxy_password
            return parsed_proxy(self.settings.proxy, "proxy", password.reveal() if password else None)
        variable, address = self.variable_for(f"{scheme}://{authority}")
        return parsed_proxy(address, variable.upper()) if address else None

    def variable_for(self, url: str) -> tuple[str, str]:
        """The environment variable that sends requests to `url` through a proxy, and its value; empty if there is none
        or the setting overrides it."""
        parts = urlsplit(url)
        variable, address = _variable(self.environment, f"{parts.scheme}_proxy")
        if self.settings.proxy or not address:
            return "", ""
        excepted = proxy_bypass_environment(parts.netloc, {"no": _variable(self.environment, "no_proxy")[1]})
        straight = excepted or is_loopback(parts.hostname or "")  # a proxy cannot reach this machine's loopback
        return ("", "") if straight else (variable, address)

    def wrong_password(self, host: str, port: int) -> InvalidConfiguration:
        """The error for a proxy that answers 407."""
        by_setting = bool(self.settings.proxy)
        where = "proxy (http://user@host:port) and proxy_password" if by_setting else "HTTPS_PROXY or HTTP_PROXY"
        return InvalidConfiguration(
            f"the proxy {host}:{port} answers 407: it requires a user and password, or different ones",
            hint=f"Correct {where}.",
            field="proxy" if by_setting else "",
        )

    def ca_path(self) -> str:
        """The file or folder of certificates; '' for the system's."""
        return self._ca()[1]

    def tls_context(self) -> ssl.SSLContext:
        """Checks certificates and host names. Raises InvalidConfiguration if no certificate can be read."""
        source, path = self._ca()
        if not path:
            return _trusting_the_system()
        try:
            if not os.path.isdir(path) and source != "SSL_CERT_DIR":
                return ssl.create_default_context(cafile=path)
            os.listdir(path.partition(os.pathsep)[0])
            return ssl.create_default_context(capath=path)
        except OSError as error:
            exhausted = descriptors_exhausted()
            if exhausted:
                raise exhausted from error
            raise InvalidConfiguration(
                f"{source}: cannot read certificates from {path}: {error.strerror}",
                hint=f"Set {source} to a file of certificates (PEM), or remove it.",
                field=source if source == "ca_bundle" else "",
            ) from error

    def _ca(self) -> tuple[str, str]:
        if self.settings.ca_bundle:
            return "ca_bundle", os.path.expanduser(self.settings.ca_bundle)
        return next(
            ((name, self.environment[name]) for name in self.ca_variables if self.environment.get(name)), ("", "")
        )


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine itself."""
    name = host.lower().rstrip(".")
    if name in _LOCAL_NAMES or name.endswith(".localhost"):
        return True
    with suppress(OSError):  # also the short forms that resolvers accept, such as 127.1
        name = socket.inet_ntoa(socket.inet_aton(name))
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    own = mapped or address
    return own.is_loopback or own.is_unspecified  # 0.0.0.0 also means this machine


def parsed_proxy(address: str, source: str, password: str | None = None) -> Proxy:
    """With `password` None, one in the address is used; only an environment variable may hold one. Raises
    InvalidConfiguration."""
    field = source if source == "proxy" else ""
    try:
        parts = urlsplit(address if "://" in address else f"http://{address.removeprefix('//')}")
        port = parts.port or _PROXY_PORT
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme != "http" or not parts.hostname:
        raise InvalidConfiguration(
            f"{source}: not an address of the form http://host:port",
            hint=f"Correct {source}{'' if field else ' in the environment'}, or remove it.",
            field=field,
        )
    at = f"[{parts.hostname}]:{port}" if ":" in parts.hostname else f"{parts.hostname}:{port}"
    if not parts.username:
        return Proxy(parts.hostname, port, url=f"http://{at}")
    name, word = unquote(parts.username), password or unquote(parts.password or "")
    authorization = "Basic " + base64.b64encode(f"{name}:{word}".encode()).decode("ascii")
    return Proxy(parts.hostname, port, authorization, f"http://{quote(name, safe='')}:{quote(word, safe='')}@{at}")


def _variable(environment: Mapping[str, str], name: str) -> tuple[str, str]:
    """Lower case takes precedence, even if its value is empty: then it is not set."""
    found = name if name in environment else name.upper()
    return found, environment.get(found, "")


def _trusting_the_system() -> ssl.SSLContext:
    """Ignores SSL_CERT_FILE of this process: only the user's environment counts."""
    if not any(os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")):
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    where = ssl.get_default_verify_paths()
    file = where.openssl_cafile if os.path.isfile(where.openssl_cafile) else None
    folder = where.openssl_capath if os.path.isdir(where.openssl_capath) else None
    if file or folder:
        context.load_verify_locations(file, folder)
    return context
