"""`doctor`."""

from __future__ import annotations

from backup.cli.commands.credentials.doctor import doctor as command

__all__ = ["command"]
