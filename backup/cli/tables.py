"""Tables of README.md, generated from the code so that they stay true."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from backup.system.text import size
from providers import registry, settings
from providers.base import BaseProvider
from providers.contract.capabilities import Capabilities
from providers.registry import ServiceSpec

_EXAMPLES: Final = {"container": "/srv/backups", "region": "eu-central-1"}
"""Settings that an instance needs to state its capabilities; no connection is made."""


def capabilities() -> list[str]:
    """Declared capabilities of a fresh instance of each service, as lines of Markdown."""
    found = [(spec, _instance(spec).capabilities) for spec in registry.specs() if spec.name in registry.EMBEDDED]
    head = ["", *(f"{spec.title}" for spec, _ in found)]
    rows = [head, ["---"] * len(head)]
    rows += [[word, *(show(can) for _, can in found)] for word, show in _ROWS]
    return [f"| {' | '.join(row)} |" for row in rows]


def _instance(spec: ServiceSpec) -> BaseProvider:
    cls = spec.settings
    assert cls is not None
    names = {field.name for field in settings.describe(cls)}
    return registry.load(spec.name)({key: text for key, text in _EXAMPLES.items() if key in names})


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"


def _up_to(limit: int | None) -> str:
    return "no limit" if limit is None else size(limit)


_ROWS: Final[tuple[tuple[str, Callable[[Capabilities], Any]], ...]] = (
    ("resumes an upload in another process", lambda can: _yes(can.resumable_uploads)),
    ("parts in parallel", lambda can: _yes(can.parallel_parts)),
    ("largest object", lambda can: _up_to(can.max_object_bytes)),
    ("single-request upload up to", lambda can: size(can.single_put_bytes) if can.single_put_bytes else "none"),
    ("smallest part", lambda can: size(can.min_part_bytes)),
    ("conditional write enforced by the server", lambda can: _yes(can.conditional_commit)),
    ("lists its containers", lambda can: _yes(can.list_containers)),
    ("creates its container", lambda can: _yes(can.create_container)),
    ("server-side prefix search", lambda can: _yes(can.server_prefix_search)),
    ("empty folders", lambda can: _yes(can.empty_directories)),
    ("modes and owners of files", lambda can: _yes(can.modes)),
    ("modes and owners of folders", lambda can: _yes(can.folder_modes)),
    ("case-sensitive names", lambda can: _yes(can.case_sensitive)),
    ("keeps older versions, or a bin", lambda can: _yes(can.keeps_old_versions)),
)
