"""Access tokens: made by google-auth from a refresh token or a service account key, kept in memory only."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from providers.contract.cancel import active_token
from providers.errors import Authentication, InvalidConfiguration
from providers.google_drive import client
from providers.google_drive.client import DriveClient, DriveRequest
from providers.google_drive.errors import DriveReply
from providers.http.access_token import AccessToken
from providers.http.connections import checked_endpoint
from providers.remedies import Action, Remedy
from providers.secret import Secret

if TYPE_CHECKING:
    from google.oauth2.credentials import Credentials as UserCredentials
    from google.oauth2.service_account import Credentials as ServiceCredentials

    from providers.google_drive.settings import Settings

SCOPE_PREFIX: Final = "https://www.googleapis.com/auth/"


class DriveTokens:
    """Renews tokens in one thread at a time. The others wait, and can be cancelled meanwhile."""

    def __init__(
        self,
        settings: Settings,
        connection: DriveClient,
        *,
        clock: Callable[[], float],
        save_secret: Callable[[Secret, Secret], bool],
    ) -> None:
        self._settings = settings
        self._wire = connection
        self._save_secret = save_secret
        self._token = AccessToken(clock=clock)
        self._made: UserCredentials | ServiceCredentials | None = None
        self._account = _service_account(settings.service_account_json)
        if self._account is None and settings.refresh_token and not settings.client_id:
            raise InvalidConfiguration("client_id: missing, but there is a refresh token", field="client_id")

    @property
    def described(self) -> str:
        """Owner of the tokens for messages. Requests nothing."""
        if self._account is not None:
            return str(self._account["client_email"])
        return self._settings.account or self._settings.client_id or "nobody"

    def __call__(self, stale: str) -> str:
        """A token other than `stale`, which the service has refused. Raises ProviderError."""
        return self._token.get(self._renew, _check_cancelled, stale=Secret(stale) if stale else None).reveal()

    def _renew(self) -> tuple[Secret, float]:
        from google.auth.exceptions import GoogleAuthError, RefreshError

        try:
            made = self._made = self._made or self._make()
            made.refresh(_transport(self._wire))  # type: ignore[no-untyped-call]
            token = str(made.token)
            if not token.isascii() or not token.isprintable():
                raise RefreshError("not a token")  # type: ignore[no-untyped-call]
        except (GoogleAuthError, OverflowError, TypeError, ValueError):  # the others: an invalid lifetime
            # The error may contain the whole answer, so it is not kept as the cause.
            raise InvalidConfiguration(
                "endpoint_url: the server there gives no access token, as Google does",
                field="endpoint_url",
                hint="Check endpoint_url and the network: this may be a web page or a login portal.",
            ) from None
        self._keep_rotated(getattr(made, "refresh_token", None))
        return Secret(token), _lifetime_s(made.expiry)

    def _keep_rotated(self, refresh_token: str | None) -> None:
        """Saves a new refresh token. Google does not rotate them now, but if it did, the old one might expire."""
        old = self._settings.refresh_token
        if self._account is None and old and refresh_token and refresh_token != old.reveal():
            self._save_secret(old, Secret(refresh_token))

    def _make(self) -> UserCredentials | ServiceCredentials:
        endpoint = checked_endpoint(self._settings.endpoint_url)
        token_url = f"{endpoint}/token" if endpoint else client.TOKEN_URL
        if self._account is not None:
            return _service_credentials(self._account, token_url)
        if not self._settings.refresh_token:
            raise Authentication(
                "this provider is not authorised yet: there is no refresh token", remedies=(Remedy(Action.AUTHORIZE),)
            )
        from google.oauth2.credentials import Credentials

        secret = self._settings.client_secret
        return Credentials(  # type: ignore[no-untyped-call]
            token=None,
            refresh_token=self._settings.refresh_token.reveal(),
            token_uri=token_url,
            client_id=self._settings.client_id,
            client_secret=secret.reveal() if secret else "",
        )


def _check_cancelled() -> None:
    token = active_token()
    if token is not None:
        token.check()


def _service_account(key: Secret | None) -> dict[str, Any] | None:
    """The key file as an object. Raises InvalidConfiguration without quoting any of it."""
    if not key:
        return None
    try:
        found = json.loads(key.reveal())
    except ValueError:
        found = None
    wanted = ("client_email", "private_key")
    if not isinstance(found, dict) or found.get("type") != "service_account" or not all(map(found.get, wanted)):
        raise InvalidConfiguration(
            "service_account_json: not a service account's JSON key",
            field="service_account_json",
            hint="Paste the whole file from the Cloud console (IAM, Service accounts, Keys, Add key, JSON).",
        )
    return found


def _service_credentials(account: Mapping[str, Any], token_url: str) -> ServiceCredentials:
    from google.oauth2.service_account import Credentials

    # The file's own token_uri is ignored: an assertion goes only to Google.
    info = {**account, "token_uri": token_url}
    try:
        made: ServiceCredentials = Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
            info, scopes=[f"{SCOPE_PREFIX}drive"]
        )
    except (ValueError, TypeError):
        raise InvalidConfiguration(
            "service_account_json: its private key cannot be read",
            field="service_account_json",
            hint="Make a new key in the Cloud console, and paste the whole file.",
        ) from None
    return made


def _lifetime_s(expiry: datetime.datetime | None) -> float:
    """Seconds until expiry. google-auth uses naive UTC."""
    if expiry is None:
        return 3600.0
    return (expiry.replace(tzinfo=datetime.UTC) - datetime.datetime.now(datetime.UTC)).total_seconds()


class _Response:
    """The part of google.auth.transport.Response that google-auth uses."""

    def __init__(self, reply: DriveReply) -> None:
        self.status = 200  # google-auth rejects other successes (203 from a proxy); errors were raised before
        self.headers = reply.headers
        self.data = reply.body


def _transport(connection: DriveClient) -> Any:
    """A google-auth transport over our connections. Raises failures as our errors, so google-auth never retries."""

    def send(
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        **_: object,
    ) -> _Response:
        request = DriveRequest("token", method, url, headers=headers or {}, body=body or b"", authorized=False)
        reply = connection.ask(request)
        reply.json()  # google-auth mishandles a web page
        return _Response(reply)

    return send
