"""A new credential store, created at a terminal."""

from __future__ import annotations

from backup.cli import diagnostics
from backup.cli.session import Session
from backup.model.credentials import TITLES, StoreBackend, StoreStatus
from providers.secret import Secret


def create(session: Session, kind: StoreBackend) -> StoreStatus:
    """Create and open a store, with a passphrase that is asked for twice."""
    with diagnostics.doing(f"create the {TITLES[kind]}"):
        chosen = session.new_passphrase(f"Passphrase of the new {TITLES[kind].partition(' (')[0]}")
        warn_of_quality(chosen)
        return session.core.credentials.create(chosen, kind)


def warn_of_quality(chosen: Secret) -> None:
    from backup.credentials.passphrase_quality import assess

    quality = assess(chosen.reveal())
    if quality.advice:
        diagnostics.warn(f"this passphrase is {quality.strength.value}. {quality.advice}")
