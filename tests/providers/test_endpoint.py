"""An address that would send a key or token unencrypted is refused before anything is sent."""

from __future__ import annotations

import pytest

from providers import registry
from providers.errors import InvalidConfiguration

FIELDS = {"backblaze": "realm", "dropbox": "endpoint_url", "google_drive": "endpoint_url"}


@pytest.mark.parametrize(
    "url",
    ["http://example.net", "ftp://127.0.0.1", "https://a:b@c", "https://x/y", "127.0.0.1:80", "http://[::1",
     "https://x:0", "https://x?y", "no address"],
)  # fmt: skip
@pytest.mark.parametrize("service", FIELDS)
def test_an_endpoint_that_would_expose_secrets_is_refused(service, url):
    with pytest.raises(InvalidConfiguration) as caught:
        registry.load(service)({"container": "c", FIELDS[service]: url})
    assert caught.value.field == FIELDS[service]
    assert caught.value.hint


@pytest.mark.parametrize("service", FIELDS)
@pytest.mark.parametrize("url", ["https://example.net:8443/", "http://127.0.0.1:8080", "http://localhost:8080/", ""])
def test_safe_endpoints_are_accepted(service, url):
    provider = registry.load(service)({"container": "c", FIELDS[service]: url})
    assert url.rstrip("/") in provider.location


def test_the_default_realm_is_backblaze_s_own():
    provider = registry.load("backblaze")({"container": "c"})
    assert provider.location.startswith("backblaze https://api.backblazeb2.com bucket=c")
