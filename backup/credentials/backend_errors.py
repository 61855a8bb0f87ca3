"""Errors of our backends in addition to keyring's. A separate module, so that catching one loads no backend."""

from __future__ import annotations

from keyring.errors import InitError


class NoCollection(InitError):
    """The service runs, but has no default collection."""


class NoService(InitError):
    """No session bus, or no Secret Service on it."""
