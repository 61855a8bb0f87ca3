"""Settings of the S3 service. Imports no SDK."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from providers.http.settings import NetworkSettings
from providers.secret import Secret
from providers.settings import setting


class Settings(NetworkSettings, kw_only=True, frozen=True):
    """Amazon S3, and every service that speaks its language: MinIO, R2, Wasabi, Garage, Ceph."""

    title: ClassVar[str] = "AWS S3"
    container_word: ClassVar[str] = "bucket"
    not_applicable: ClassVar[frozenset[str]] = frozenset({"container_type", "username", "password", "api_key"})
    credential_pair: ClassVar[tuple[str, str] | None] = ("access_key", "secret_key")
    requires: ClassVar[tuple[str, ...]] = ("botocore",)
    home: ClassVar[str] = "https://s3.amazonaws.com"
    variables: ClassVar[tuple[str, ...]] = (
        *NetworkSettings.variables,
        *("AWS_CA_BUNDLE", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"),
        *("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID"),
    )

    container: Annotated[
        str,
        setting("Bucket", "Name of the bucket that holds the copies.", placeholder="homeserver-backups", required=True),
    ] = ""
    secret_key: Annotated[
        Secret | None, setting("Secret access key", "The secret that goes with the access key id.")
    ] = None
    region: Annotated[
        str,
        setting(
            "Region",
            "Where the bucket lives. Empty: what the profile says, else us-east-1; most other services take any.",
            placeholder="us-east-1",
        ),
    ] = ""
    access_key: Annotated[
        str,
        setting(
            "Access key id",
            "Empty: the AWS chain is asked (profile, environment, role of the machine).",
            placeholder="AKIA…",
        ),
    ] = ""
    session_token: Annotated[
        Secret | None, setting("Session token", "Only for temporary credentials.", advanced=True)
    ] = None
    profile: Annotated[
        str, setting("Profile", "Section of ~/.aws/config to take credentials and region from.", advanced=True)
    ] = ""
    endpoint_url: Annotated[
        str,
        setting(
            "Endpoint",
            "Address of a service other than AWS. Empty: AWS.",
            placeholder="https://s3.example.net",
        ),
    ] = ""
    addressing_style: Annotated[
        Literal["auto", "path", "virtual"],
        setting(
            "Addressing",
            "Bucket in the path or in the host name; auto: path for an own endpoint, host name for AWS.",
            advanced=True,
        ),
    ] = "auto"
    prefix: Annotated[
        str,
        setting(
            "Prefix",
            "Folder inside the bucket below which everything is kept; the rest of the bucket is not seen.",
            placeholder="server1/",
        ),
    ] = ""
