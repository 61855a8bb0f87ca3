"""HTTP layer for the SDK, over connections that another thread can interrupt at once.

The SDK builds every request and reads every answer. This module replaces `requests` (sockets, timeouts, streaming),
which cannot interrupt a stalled call and does not apply `timeout` while sending. The SDK's own retries, which sleep for
up to 64 s, are not used.
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
    """One request at a time per thread, any number of threads. Raises ProviderError, or for 401 the SDK's error."""

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
        """Requests of this thread inside the context belong to `calls`, which can interrupt them."""
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
        """Sends the request once; ignores `try_count`. `params` repeats a JSON body, as in the SDK."""
        if not _is_address(url):  # an address sent by the service
            raise errors.not_b2(200, {})
        call_name = name_of_call(urlsplit(url).path)
        response = self._open(method, url, headers, data, call_name)
        if 200 <= response.status_code < 300:
            if method == "HEAD":  # the SDK reads the headers and never closes it
                response.close()
            return response
        body = response.content
        host = urlsplit(url).hostname or ""
        failure = errors.failure(response.status_code, response.headers, body, call_name, host)
        raise with_status(failure, response.status_code)

    def request_content_return_json(self, *args: Any, **kwargs: Any) -> Any:
        """As in the SDK, but raises NoJson for invalid JSON."""
        try:
            return super().request_content_return_json(*args, **kwargs)
        except json.JSONDecodeError as error:
            raise errors.NoJson(error.doc.encode()) from None
        except UnicodeDecodeError as error:
            raise errors.NoJson(error.object) from None
        except (ValueError, RecursionError):  # a number of thousands of digits, or nested too deeply
            raise errors.NoJson(b"") from None

    def answer(self, url: str) -> tuple[int, bytes]:
        """Status and body of a plain GET, without raising for error statuses."""
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
    """B2's name for the API call with this path."""
    if path.startswith("/file/"):
        return DOWNLOAD
    return next((segment for segment in path.split("/") if segment.startswith("b2_")), "other")


class RawResponse:
    """An answer with the interface that the SDK expects from `requests`."""

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
