"""Errors shared by all HTTP services: broken connections, Retry-After, JSON bodies."""

from __future__ import annotations

import email.utils
import http.client
import json
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import UTC
from http import HTTPStatus
from typing import Any, Final, TypeVar

from providers.errors import (
    NO_DESCRIPTORS,
    InvalidConfiguration,
    ProviderError,
    Transient,
    Unsupported,
    believable_wait_s,
    descriptors_exhausted,
    from_os_error,
)
from providers.http.head import BrokenReplyError

E = TypeVar("E", bound=Exception)

_COMPRESSED: Final = frozenset({"gzip", "x-gzip", "deflate", "compress", "x-compress", "br", "zstd"})
_NOT_TLS: Final = {"WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"}
_OLD_TLS: Final = {"TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "WRONG_SSL_VERSION"}
_OTHER_NAME: Final = "Set {setting} to a name in the certificate, or check what else answers there."
_OWN_CA: Final = (
    "If the certificate or its CA is your own, or that of a TLS-inspecting proxy, add it to the system's store or {ca}."
)
_NO_ISSUER: Final = f"Have the server send its whole chain, with the intermediate certificate. {_OWN_CA}"
_CERTIFICATE_FIXES: Final = {
    9: "Check the clock of this machine.",
    10: "Check the clock of this machine; if it is right, the server needs a new certificate.",
    20: _NO_ISSUER,
    21: _NO_ISSUER,
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}
"""By X509_V_ERR_..., from OpenSSL's x509_vfy.h: not yet valid, expired, no issuer, another host or address."""


def connection_failure(
    error: Exception, host: str, port: int, timeout_s: float, *, setting: str = "endpoint_url", ca: str = ""
) -> ProviderError:
    """The error for a failed connection, with its cause and fix.

    `setting` is the source of the address, unless it is the service's own; `ca` is the setting or variable that names
    the certificates.
    """
    at = f"{host}:{port}"
    if isinstance(error, OSError) and error.errno in NO_DESCRIPTORS:
        return from_os_error(error, at)
    if isinstance(error, socket.gaierror):
        exhausted = descriptors_exhausted()
        if exhausted:
            return exhausted
        return Transient(
            f"the name {host} cannot be resolved",
            hint=f"Check the DNS of this machine, and {setting} if it is set.",
            code="DNS",
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return InvalidConfiguration(
            f"{setting}: the certificate of {at} is not trusted: {error.verify_message}",
            field=setting,
            hint=_CERTIFICATE_FIXES.get(error.verify_code, _OWN_CA).format(setting=setting, ca=ca or "ca_bundle"),
        )
    if isinstance(error, ssl.SSLError) and error.reason in _OLD_TLS:
        return InvalidConfiguration(
            f"{setting}: {at} offers only an old, insecure version of TLS",
            field=setting,
            hint="Enable TLS 1.2 or newer on the server, or on the TLS-inspecting proxy.",
        )
    if isinstance(error, ssl.SSLError) and error.reason in _NOT_TLS:
        return InvalidConfiguration(
            f"{setting}: {at} does not speak TLS", field=setting, hint="Use http:// if that is intended."
        )
    if isinstance(error, ConnectionRefusedError):
        return Transient(
            f"{at} refuses the connection",
            hint=f"Check that the service runs, the firewall, any proxy, and {setting} if it is set.",
            code="REFUSED",
        )
    if isinstance(error, TimeoutError):
        return Transient(
            f"{at}: no byte has moved for {timeout_s:g} s",
            hint="Check the network and firewalls; what was sent is kept.",
            code="TIMEOUT",
        )
    if isinstance(error, http.client.HTTPException) and not isinstance(error, http.client.RemoteDisconnected):
        why = str(error) if isinstance(error, BrokenReplyError) else type(error).__name__
        return Transient(
            f"{at} broke off, or does not speak HTTP: {why}",
            hint=f"Check the network and any proxy, and {setting} if it is set.",
            code="CONNECTION",
        )
    return Transient(f"the connection to {at} broke: {error or type(error).__name__}", code="CONNECTION")


def forced_encoding(headers: Mapping[str, str], at: str) -> ProviderError | None:
    """The error for an answer compressed against our request; None if it is not compressed.

    An object may carry such a header as its own metadata. Then everything else fits, and this is no error.
    """
    coding = headers.get("content-encoding", "").strip().lower()
    if coding not in _COMPRESSED:
        return None
    return Unsupported(
        f"{at}: the answer is compressed ({coding}), which was not requested: something in between changes what the "
        "service sends",
        hint="Check for a proxy or CDN in front of the service that compresses (gzip), and turn that off, or "
        "use the service's own address.",
        code="content_encoding",
    )


def with_status(error: E, status: int) -> E:
    """The error, marked if the status says that the service itself failed (500)."""
    if isinstance(error, Transient):
        error.server_failed = status == HTTPStatus.INTERNAL_SERVER_ERROR
    return error


def retry_after_s(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Retry-After in seconds, at most an hour; None if it is no usable time. Header names are lower-case.

    A date counts from the Date of the reply, so that a wrong clock does no harm; without one, from our clock.
    """
    value = headers.get("retry-after", "")
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return believable_wait_s(float(value))
    until = http_date(value)
    if until is None:
        return None
    sent = http_date(headers.get("date", ""))
    return believable_wait_s(max(0.0, until - (now() if sent is None else sent)))


def seconds_from_json(value: object, longest_s: float) -> float | None:
    """A duration in seconds from JSON, at most `longest_s`; None if it is no duration."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        return None
    return float(min(value, longest_s))


def http_date(value: str) -> float | None:
    """Seconds since the epoch; None if it is not a date. HTTP knows no zone but GMT, so one that names none is GMT too
    (RFC 9110, section 5.6.7: asctime)."""
    try:
        found = email.utils.parsedate_to_datetime(value)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError, OSError, IndexError):
        return None


def json_object(body: bytes) -> dict[str, Any] | None:
    """The JSON object in a body, or None."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):  # the latter: hostile nesting
        return None
    return found if isinstance(found, dict) else None
