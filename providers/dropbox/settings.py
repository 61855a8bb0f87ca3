"""Settings of the Dropbox service. Imports no SDK."""

from __future__ import annotations

from typing import Annotated, ClassVar

from providers.http.settings import NetworkSettings
from providers.secret import Secret
from providers.settings import setting


class Settings(NetworkSettings, kw_only=True, frozen=True):
    """Dropbox, below a folder of the account or of an app folder."""

    title: ClassVar[str] = "Dropbox"
    container_word: ClassVar[str] = "folder"
    not_applicable: ClassVar[frozenset[str]] = frozenset(
        {"container_type", "username", "password", "api_key", "secret_key", "region", "profile"}
    )
    credential_pair: ClassVar[tuple[str, str] | None] = ("app_key", "refresh_token")
    home: ClassVar[str] = "https://api.dropboxapi.com"

    container: Annotated[
        str,
        setting(
            "Folder",
            "Path of the folder that holds the copies. Empty: the whole app folder, or the whole Dropbox.",
            placeholder="homeserver-backups",
        ),
    ] = ""
    upload_chunk_size: Annotated[
        int,
        setting(
            "Part size",
            "Size of one request in a large upload; a failed one is sent again.",
            unit="bytes",
            advanced=True,
            ge=65536,
            le=128 * 2**20,
        ),
    ] = 4 * 2**20
    app_key: Annotated[
        str,
        setting(
            "App key",
            "From your app's page in the Dropbox App Console. Not a secret.",
            placeholder="a1b2c3d4e5f6g7h",
            required=True,
        ),
    ] = ""
    refresh_token: Annotated[
        Secret | None,
        setting("Refresh token", "Set by authorising in a browser; valid until you revoke the access."),
    ] = None
    account_id: Annotated[
        str,
        setting(
            "Account",
            "Set by authorising in a browser; any other account is refused.",
            placeholder="dbid:…",
            advanced=True,
        ),
    ] = ""
    endpoint_url: Annotated[
        str,
        setting(
            "Endpoint",
            "One address that replaces all Dropbox hosts, for tests. Empty: Dropbox.",
            placeholder="https://…",
            advanced=True,
        ),
    ] = ""
