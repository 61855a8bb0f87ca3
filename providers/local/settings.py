"""Settings of the local service."""

from __future__ import annotations

from typing import Annotated, ClassVar

from providers.settings import ProviderSettings, setting


class Settings(ProviderSettings, kw_only=True, frozen=True):
    """A folder on this machine: a second disk, a USB drive, a mounted network share."""

    title: ClassVar[str] = "Local disk"
    container_word: ClassVar[str] = "folder"
    not_applicable: ClassVar[frozenset[str]] = frozenset(
        {"container_type", "username", "password", "api_key", "secret_key", "region", "timeout"}
        | {"ca_bundle", "proxy", "proxy_password", "profile"}
    )

    container: Annotated[
        str,
        setting(
            "Folder",
            "Absolute path of the folder for the copies, preferably on another disk than the originals.",
            placeholder="/mnt/backup",
            required=True,
        ),
    ] = ""
    create_folder: Annotated[
        bool,
        setting(
            "Create folder",
            "Create the folder if it is missing. Off is safer if a disk may not be mounted.",
            advanced=True,
        ),
    ] = False
