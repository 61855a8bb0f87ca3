"""What our backend raises beside keyring's own errors. A module of its own, so that catching one loads no backend."""

from __future__ import annotations

from keyring.errors import InitError


class NoCollection(InitError):
    """The service runs, but has no default collection to keep anything in."""


class NoService(InitError):
    """No session bus, or nobody on it who keeps secrets."""
