"""Import of instances from other programs: reads what is there, and saves what the user selects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from backup.config import file as config
from backup.credentials.importing import aws, json_file, rclone
from backup.credentials.importing.json_file import Imported, ImportFindings
from backup.system.paths import Paths
from backup.system.private_files import write_private
from providers.errors import InvalidConfiguration, ProviderError, from_os_error


class ImportSource(StrEnum):
    EARLIER_JSON = "json"
    """The guide's structure, as written by earlier programs of this family."""
    AWS = "aws"
    RCLONE = "rclone"


MOST_BYTES: Final = 16 * 2**20
"""No such file is larger: a wrong file was named."""
USUAL_FILES: Final = {ImportSource.AWS: "~/.aws/credentials"}


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    source: str
    name: str
    """The instance's name here."""
    secrets: tuple[str, ...]
    """Settings whose secrets are now in the store."""
    notes: tuple[str, ...] = ()


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    saved: tuple[Saved, ...]
    blanked: bool = False
    """The secrets of these were removed from the file that they came from."""


def findings(source: ImportSource, text: str, config_text: str = "") -> ImportFindings:
    """What could be imported from a text. Raises InvalidConfiguration."""
    match source:
        case ImportSource.EARLIER_JSON:
            return json_file.from_earlier_json(text)
        case ImportSource.AWS:
            return aws.from_aws(text, config_text)
        case ImportSource.RCLONE:
            return rclone.from_rclone(text)


def findings_in(source: ImportSource, path: Path) -> ImportFindings:
    """What could be imported from a file. Raises NotFound and PermissionDenied too."""
    place = path.expanduser()
    beside = place.with_name("config")
    config_text = _text(beside) if source is ImportSource.AWS and beside.exists() else ""
    return findings(source, _text(place), config_text)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise from_os_error(error, path) from None
    if len(data) > MOST_BYTES:
        raise InvalidConfiguration(f"{path} is too large to be such a file", field="file", hint="Name another one.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidConfiguration(f"{path} is not UTF-8 text", field="file", hint="Name another one.") from None


def apply(
    paths: Paths,
    save: Callable[..., object],
    found: ImportFindings,
    sources: Iterable[str] | None = None,
    *,
    names: Mapping[str, str],
    blank_in: Path | None = None,
) -> Applied:
    """Save what was found as instances, disabled until checked. Existing instances are never changed. `save`
    takes name, service, values, secrets, and `expires_at`."""
    wanted = None if sources is None else set(sources)
    chosen = [instance for instance in found.instances if wanted is None or instance.source in wanted]
    if wanted is not None and (unknown := wanted - {instance.source for instance in chosen}):
        raise InvalidConfiguration(f"not found there: {', '.join(sorted(unknown))}", field="source")
    saved: list[Saved] = []
    moved: list[Imported] = []
    try:
        for instance in chosen:
            saved.append(_save(paths, save, instance, names.get(instance.source, "")))
            moved.append(instance)
    except ProviderError as error:
        error.add_note(f"imported before that: {', '.join(done.name for done in saved) or 'nothing'}")
        raise
    finally:
        blanked = _blank(blank_in.expanduser(), moved) if blank_in and moved else False
    return Applied(saved=tuple(saved), blanked=blanked)


def _save(paths: Paths, save: Callable[..., object], instance: Imported, wanted_name: str) -> Saved:
    taken = set(config.load(paths).instances)
    name = wanted_name or _free_name(instance.name, taken)
    if wanted_name and wanted_name in taken:
        raise InvalidConfiguration(f"there is an instance {name!r} already", field="name", hint="Choose another name.")
    save(name, instance.service, instance.values, instance.secrets, expires_at=instance.expires_at)
    return Saved(source=instance.source, name=name, secrets=tuple(instance.secrets), notes=instance.notes)


def _free_name(name: str, taken: set[str]) -> str:
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def _blank(path: Path, moved: Iterable[Imported]) -> bool:
    """Read the file again, so that later changes to it are kept."""
    try:
        text = path.read_text("utf-8")
        write_private(path, json_file.without_secrets(text, moved).encode())
    except OSError as error:
        raise from_os_error(error, path) from None
    return True
