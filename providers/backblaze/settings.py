"""Settings of the Backblaze B2 service. Imports no SDK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final

from providers.http.settings import NetworkSettings
from providers.secret import Secret
from providers.settings import setting

_CLASSES: Final = {
    **dict.fromkeys(
        (
            "b2_get_upload_url",
            "b2_upload_file",
            "b2_start_large_file",
            "b2_get_upload_part_url",
            "b2_upload_part",
            "b2_finish_large_file",
            "b2_cancel_large_file",
            "b2_hide_file",
            "b2_delete_file_version",
        ),
        "A",
    ),
    **dict.fromkeys(("b2_download_file_by_name", "b2_get_file_info"), "B"),
    **dict.fromkeys(
        (
            "b2_authorize_account",
            "b2_create_bucket",
            "b2_list_buckets",
            "b2_list_file_names",
            "b2_list_file_versions",
            "b2_list_unfinished_large_files",
            "b2_list_parts",
        ),
        "C",
    ),
}
"""Transaction classes: https://www.backblaze.com/cloud-storage/transaction-pricing. A is free."""


class Settings(NetworkSettings, kw_only=True, frozen=True):
    """Backblaze B2 through its native API: cheap storage, free uploads, older versions kept."""

    title: ClassVar[str] = "Backblaze B2"
    container_word: ClassVar[str] = "bucket"
    not_applicable: ClassVar[frozenset[str]] = frozenset(
        {"container_type", "username", "password", "api_key", "secret_key", "region", "profile"}
    )
    credential_pair: ClassVar[tuple[str, str] | None] = ("application_key_id", "application_key")
    requires: ClassVar[tuple[str, ...]] = ("b2sdk",)
    home: ClassVar[str] = "https://api.backblazeb2.com"
    price_classes: ClassVar[Mapping[str, str]] = _CLASSES

    container: Annotated[
        str,
        setting("Bucket", "Name of the bucket that holds the copies.", placeholder="homeserver-backups", required=True),
    ] = ""
    application_key_id: Annotated[
        str,
        setting(
            "Application key id",
            "Id of a key limited to this bucket (B2 console, Application Keys).",
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
            "Folder in the bucket that holds everything; the rest of the bucket is ignored.",
            placeholder="server1/",
        ),
    ] = ""
    delete_versions: Annotated[
        bool,
        setting(
            "Delete older versions",
            "Off: deleting hides a file; its versions stay and are billed. On: deleting removes all versions.",
        ),
    ] = False
    hash_first: Annotated[
        bool,
        setting(
            "Hash first",
            "Read a large file once before uploading, to store its SHA-1 and SHA-256 with it.",
            advanced=True,
        ),
    ] = True
    realm: Annotated[
        str,
        setting(
            "Realm",
            "Server that accepts the keys. Empty: Backblaze's own (api.backblazeb2.com).",
            placeholder="https://api.backblazeb2.com",
            advanced=True,
        ),
    ] = ""
