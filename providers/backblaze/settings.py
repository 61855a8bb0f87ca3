"""Settings of the Backblaze B2 service. Imports no SDK."""

from __future__ import annotations

from typing import Annotated, ClassVar

from providers.secret import Secret
from providers.settings import ProviderSettings, setting


class Settings(ProviderSettings, kw_only=True, frozen=True):
    """Backblaze B2 by its native API: cheap storage, uploads free of charge, older versions kept."""

    title: ClassVar[str] = "Backblaze B2"
    container_word: ClassVar[str] = "bucket"
    not_applicable: ClassVar[frozenset[str]] = frozenset(
        {"container_type", "username", "password", "api_key", "secret_key", "region"}
    )
    credential_pair: ClassVar[tuple[str, str] | None] = ("application_key_id", "application_key")
    requires: ClassVar[tuple[str, ...]] = ("b2sdk",)

    container: Annotated[
        str,
        setting("Bucket", "Name of the bucket that holds the copies.", placeholder="homeserver-backups", required=True),
    ] = ""
    application_key_id: Annotated[
        str,
        setting(
            "Application key id",
            "Of a key limited to this bucket: B2 console, Application Keys.",
            placeholder="0031a2b3c4d5e6f0000000001",
            required=True,
        ),
    ] = ""
    application_key: Annotated[
        Secret | None, setting("Application key", "Shown once, when the key is made.", required=True)
    ] = None
    prefix: Annotated[
        str,
        setting(
            "Prefix",
            "Folder inside the bucket below which everything is kept; the rest of the bucket is not seen.",
            placeholder="server1/",
        ),
    ] = ""
    delete_versions: Annotated[
        bool,
        setting(
            "Delete older versions",
            "Off: deleting hides a file, its versions stay and cost. On: deleting removes every version for good.",
        ),
    ] = False
    hash_first: Annotated[
        bool,
        setting(
            "Hash first",
            "Read a large file once before it is sent, so that its SHA-1 and SHA-256 are kept with it.",
            advanced=True,
        ),
    ] = True
    realm: Annotated[
        str,
        setting(
            "Realm",
            "Where keys are accepted. Empty: Backblaze's own (api.backblazeb2.com).",
            placeholder="https://api.backblazeb2.com",
            advanced=True,
        ),
    ] = ""
