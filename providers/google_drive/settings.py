"""Settings of the Google Drive service. Imports no SDK."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from providers.http.settings import NetworkSettings
from providers.secret import Secret
from providers.settings import setting


class Settings(NetworkSettings, kw_only=True, frozen=True):
    """Google Drive, your own or a shared one; sees only files that this program made."""

    title: ClassVar[str] = "Google Drive"
    container_word: ClassVar[str] = "folder"
    not_applicable: ClassVar[frozenset[str]] = frozenset(
        {"container_type", "username", "password", "api_key", "secret_key", "region", "profile"}
    )
    credential_pair: ClassVar[tuple[str, str] | None] = ("client_id", "refresh_token")
    requires: ClassVar[tuple[str, ...]] = ("google.auth",)
    home: ClassVar[str] = "https://www.googleapis.com"

    container: Annotated[
        str,
        setting(
            "Folder",
            "Path of the folder that holds the copies; '/' is the root of the drive.",
            placeholder="homeserver-backups",
            required=True,
        ),
    ] = ""
    client_id: Annotated[
        str,
        setting(
            "Client id",
            "Id of the OAuth client that you made in the Google Cloud console.",
            placeholder="….apps.googleusercontent.com",
        ),
    ] = ""
    refresh_token: Annotated[
        Secret | None, setting("Refresh token", "Set by authorising in a browser; nothing to type.")
    ] = None
    client_secret: Annotated[Secret | None, setting("Client secret", "The secret that goes with the client id.")] = None
    service_account_json: Annotated[
        Secret | None,
        setting(
            "Service account key",
            "JSON key file of a service account, instead of client and token; for shared drives.",
            advanced=True,
        ),
    ] = None
    shared_drive_id: Annotated[
        str,
        setting(
            "Shared drive",
            "Id of a shared drive (the end of its address in the browser). Empty: My Drive.",
            placeholder="0AbCdEfGhIjKlUk9PVA",
        ),
    ] = ""
    account: Annotated[
        str,
        setting(
            "Google account",
            "E-mail address of the account; any other is refused. Set by authorising.",
            placeholder="you@gmail.com",
        ),
    ] = ""
    scope: Annotated[
        Literal["drive.file", "drive"],
        setting(
            "Access",
            "Scope to authorise. drive.file: only files made by this program; drive: the whole drive.",
            advanced=True,
        ),
    ] = "drive.file"
    use_trash: Annotated[
        bool,
        setting(
            "Delete to the bin",
            "Deleted files can be restored for 30 days, and use storage until then.",
            advanced=True,
        ),
    ] = True
    acknowledge_abuse: Annotated[
        bool,
        setting("Fetch flagged files", "Also download files that Google has flagged as harmful.", advanced=True),
    ] = False
    endpoint_url: Annotated[
        str,
        setting(
            "Endpoint",
            "Address of a gateway to Google, or of a test server. Empty: Google.",
            placeholder="https://drive-gateway.example.net",
            advanced=True,
        ),
    ] = ""
