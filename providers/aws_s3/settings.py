"""Settings of the S3 service. Imports no SDK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from providers.aws_s3.profiles import credential_source, named_profile
from providers.errors import InvalidConfiguration
from providers.http.settings import NetworkSettings
from providers.secret import Secret
from providers.settings import holds_password, setting


class Settings(NetworkSettings, kw_only=True, frozen=True):
    """Amazon S3 and compatible services: MinIO, R2, Wasabi, Garage, Ceph."""

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
        *("AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE"),
        *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        *("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_EC2_METADATA_SERVICE_ENDPOINT"),
        *("AWS_EC2_METADATA_DISABLED", "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "AWS_EC2_METADATA_V1_DISABLED"),
        *("AWS_METADATA_SERVICE_TIMEOUT", "AWS_METADATA_SERVICE_NUM_ATTEMPTS", "AWS_IMDS_USE_IPV6"),
        *("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL_SSO", "AWS_ENDPOINT_URL_SSO_OIDC"),
        *("AWS_ENDPOINT_URL_SIGNIN", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_STS_REGIONAL_ENDPOINTS"),
        *("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT", "AWS_RETRY_MODE", "AWS_MAX_ATTEMPTS"),
        *("AWS_CREDENTIAL_FILE", "BOTO_CONFIG"),
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
            "Region of the bucket. Empty: the profile's, else us-east-1; most compatible services accept any.",
            placeholder="us-east-1",
        ),
    ] = ""
    access_key: Annotated[
        str,
        setting(
            "Access key id",
            "Empty: use the AWS chain (profile, environment, instance role).",
            placeholder="AKIA…",
        ),
    ] = ""
    session_token: Annotated[
        Secret | None, setting("Session token", "Only for temporary credentials.", advanced=True)
    ] = None
    profile: Annotated[
        str,
        setting(
            "Profile", "Profile in ~/.aws/config that provides credentials and region.", place=False, advanced=True
        ),
    ] = ""
    endpoint_url: Annotated[
        str,
        setting(
            "Endpoint",
            "Address of a compatible service. Empty: AWS.",
            placeholder="https://s3.example.net",
        ),
    ] = ""
    addressing_style: Annotated[
        Literal["auto", "path", "virtual"],
        setting(
            "Addressing",
            "Bucket in the path or in the host name; auto: path with a custom endpoint, host name on AWS.",
            advanced=True,
        ),
    ] = "auto"
    prefix: Annotated[
        str,
        setting(
            "Prefix",
            "Folder in the bucket that holds everything; the rest of the bucket is ignored.",
            placeholder="server1/",
        ),
    ] = ""

    def secrets_in(self, environment: Mapping[str, str]) -> tuple[str, ...]:
        """Follows the chain's order: keys in the environment count unless the settings have a key or a profile; the
        container role only if nothing else is named. A profile may name either as its source."""

        def set_in(*names: str) -> tuple[str, ...]:
            return tuple(name for name in names if environment.get(name))

        if self.access_key:
            return ()
        named = named_profile(self.profile, environment)
        source = credential_source(named or "default", environment)
        keys = set_in("AWS_ACCESS_KEY_ID"), set_in("AWS_SECRET_ACCESS_KEY")
        if all(keys) and (not self.profile or source == "Environment"):
            return (*keys[0], *keys[1], *set_in("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"))
        relative = set_in("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
        full = () if relative else set_in("AWS_CONTAINER_CREDENTIALS_FULL_URI")
        of_something_else = source != "EcsContainer" and bool(named or set_in("AWS_WEB_IDENTITY_TOKEN_FILE"))
        if of_something_else or not (relative or full):
            return ()
        token = () if set_in("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") else set_in("AWS_CONTAINER_AUTHORIZATION_TOKEN")
        return token + tuple(name for name in full if holds_password(environment[name]))


def normal_prefix(prefix: str) -> str:
    """The prefix without a leading '/' and with a trailing one; '' for none. Raises InvalidConfiguration."""
    trimmed = prefix.strip("/")
    if any(part in ("", ".", "..") for part in trimmed.split("/")) and trimmed:
        raise InvalidConfiguration(f"prefix: {prefix!r} has an empty part, '.' or '..'", field="prefix")
    return f"{trimmed}/" if trimmed else ""


def aws_url(region: str) -> str:
    """AWS's regional endpoint, without a bucket."""
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://s3.{region}.{domain}"
