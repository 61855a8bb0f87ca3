"""An access token that expires: kept in memory only and renewed when needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from providers.secret import Secret

_EARLY_S: Final = 60.0
"""A token is renewed this long before it expires, because it must outlive running requests."""
_LOOK_S: Final = 0.1


class AccessToken:
    """Safe to use from any thread: one thread renews the token while the others wait for it."""

    def __init__(self, *, clock: Callable[[], float], first: Secret | None = None, first_lasts_s: float = 0.0) -> None:
        """`first` is used for `first_lasts_s` seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._token = first
        self._good_until = clock() + first_lasts_s if first else 0.0

    def get(
        self, renew: Callable[[], tuple[Secret, float]], check: Callable[[], None], *, stale: Secret | None = None
    ) -> Secret:
        """A token that is valid now and differs from `stale`, which the service has refused.

        `renew` returns a token and its lifetime in seconds; `check` is called while another thread renews. Raises the
        errors of these two.
        """
        while not self._lock.acquire(timeout=_LOOK_S):
            check()
        try:
            if self._token is None or self._token == stale or self._clock() >= self._good_until:
                self._token = None
                self._token, lasts_s = renew()
                self._good_until = self._clock() + lasts_s - _EARLY_S
            return self._token
        finally:
            self._lock.release()
