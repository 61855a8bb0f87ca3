"""The SDK's HTTP layer over connections that a second thread can break off at once.

The SDK builds every request and reads every answer; what it leaves to `requests` (sockets, timeouts, streaming a body)
is done here instead: with `requests` a stalled call cannot be interrupted, and `timeout` does not hold while sending.
Its retries, which sleep for up to 64 s, have no part in this.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from b2sdk.v3 import B2Http, B2HttpApiConfig

from providers.backblaze import errors
from providers.contract.upload import PartBody
from providers.http.connections import Calls, Pool
from providers.http.errors import with_status
from providers.http.network import Network
from providers.http.request import HttpAnswer, ask

DOWNLOAD: Final = "b2_download_file_by_name"


class Transport(B2Http):  # type: ignore[misc]
    """One request at a time per thread, any number of threads. Raises ProviderError, or for 401 the SDK's own."""

    def __init__(self, *, network: Network, timeout_s: float, count_call: Callable[[str], None]) -> None:
        super().__init__(B2HttpApiConfig(install_clock_skew_hook=False))
        self._network = network
        self._timeout_s = timeout_s
        self._count_call = count_call
        self._lock = threading.Lock()
        self._pools: dict[str, Pool] = {}
        self._here = threading.local()

    def close(self) -> None:
        with self._lock:
            pools = list(self._pools.values())
        for pool in pools:
            pool.close()

    @contextmanager
    def within(self, calls: Calls) -> Iterator[None]:
        """Requests that this thread makes inside belong to `calls`, which can interrupt them."""
        before = getattr(self._here, "calls", None)
        self._here.calls = calls
        try:
            yield
        finally:
            self._here.calls = before

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        data: bytes | PartBody | None = None,
        try_count: int = 1,
        params: Mapping[str, Any] | None = None,
        *,
        stream: bool = False,
        _timeout: float | None = None,
    ) -> RawResponse:
        """One attempt, whatever `try_count` says. `params` repeats a JSON body, as the SDK does it."""
        if not _is_address(url):  # of those that the service itself names
            raise errors.not_b2(200, {})
        call_name = name_of_call(urlsplit(url).path)
        response = self._open(method, url, headers, data, call_name)
        if 200 <= response.status_code < 300:
            if method == "HEAD":  # the SDK takes the headers and never closes
                response.close()
            return response
        body = response.content
        host = urlsplit(url).hostname or ""
        failure = errors.failure(response.status_code, response.headers, body, call_name, host)
        raise with_status(failure, response.status_code)

    def request_content_return_json(self, *args: Any, **kwargs: Any) -> Any:
        """As the SDK's, but what is no JSON is told as such."""
        try:
            return super().request_content_return_json(*args, **kwargs)
        except json.JSONDecodeError as error:
            raise errors.NoJson(error.doc.encode()) from None
        except UnicodeDecodeError as error:
            raise errors.NoJson(error.object) from None
        except RecursionError:  # nested without end
            raise errors.NoJson(b"") from None

    def answer(self, url: str) -> tuple[int, bytes]:
        """Status and body of a plain GET, whatever the status."""
        response = self._open("GET", url, {}, None, errors.AUTHORIZE)
        return response.status_code, response.content

    def _open(
        self, method: str, url: str, headers: Mapping[str, str], data: bytes | PartBody | None, call_name: str
    ) -> RawResponse:
        calls = getattr(self._here, "calls", None) or Calls()
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        sent = {"user-agent": self.user_agent, **{name.lower(): value for name, value in headers.items()}}
        if data is not None and not isinstance(data, bytes):
            data.seek(0)
        answer = ask(
            self._pool(url), calls, method, target, sent, data or b"", count=lambda: self._count_call(call_name)
        )
        return RawResponse(answer, url)

    def _pool(self, url: str) -> Pool:
        parts = urlsplit(url)
        with self._lock:
            if parts.netloc not in self._pools:
                address = urlunsplit((parts.scheme, parts.netloc, "", "", ""))
                self._pools[parts.netloc] = Pool(address, self._network, timeout_s=self._timeout_s, setting="realm")
            return self._pools[parts.netloc]


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.scheme in ("http", "https") and parts.hostname and parts.port != 0)
    except ValueError:
        return False


def name_of_call(path: str) -> str:
    """B2's name of the API call that a path is."""
    if path.startswith("/file/"):
        return DOWNLOAD
    return next((segment for segment in path.split("/") if segment.startswith("b2_")), "other")


class RawResponse:
    """An answer in the shape that the SDK knows from `requests`."""

    def __init__(self, answer: HttpAnswer, url: str) -> None:
        self.answer = answer
        self.url = url
        self.status_code = answer.status
        self.headers = answer.headers

    @property
    def content(self) -> bytes:
        return self.answer.rest()

    def close(self) -> None:
        self.answer.close()
