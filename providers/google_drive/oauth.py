"""OAuth with Google in any browser, also for a server without one.

Three methods, all with the user's own OAuth client: paste the address at which the browser ends; let the browser reach
this machine through `ssh -L`; or type a code on another device. Sources: "OAuth 2.0 for iOS & Desktop Apps", "OAuth
2.0 for TV and Limited-Input Device Applications".
"""

from __future__ import annotations

import logging
import os
import select
import socket
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from providers import settings
from providers.contract import authorization
from providers.contract.authorization import Answer, Authorization, AuthorizationFlow, Grant, Method, Pkce
from providers.contract.context import ProviderContext
from providers.errors import Authentication, InvalidConfiguration, ProviderError, Unsupported
from providers.google_drive import errors
from providers.google_drive.client import API_URL, DriveClient, DriveRequest
from providers.google_drive.loopback import request_target, respond, tunnel
from providers.google_drive.settings import Settings
from providers.google_drive.tokens import SCOPE_PREFIX
from providers.http.connections import checked_endpoint
from providers.http.errors import json_object, seconds_from_json
from providers.http.network import Network
from providers.secret import Secret

_LOG: Final = logging.getLogger(__name__)
_TITLE: Final = "Google Drive"
_ACCOUNTS_URL: Final = "https://accounts.google.com"
_OAUTH_URL: Final = "https://oauth2.googleapis.com"
_DEAD_END: Final = "http://127.0.0.1:1/"
"""A port that browsers refuse to open, so they show the whole address."""
_ANSWERS: Final = frozenset(range(400, 500)) - {408, 429}
_DAY_S: Final = 86_400
_SLOWER_S: Final = 5.0
_LONGEST_INTERVAL_S: Final = 60.0
_CODE_LASTS_S: Final = 1800.0
_LONGEST_GRANT_S: Final = 100 * 365 * _DAY_S

METHODS: Final = (
    Method(
        name="address",
        title="Paste an address",
        help="Open an address in any browser, on any machine, and paste the address it ends on.",
        answer=Answer.ADDRESS,
    ),
    Method(
        name="loopback",
        title="Through ssh",
        help="Run one ssh command on the browser's machine; nothing to paste.",
        answer=Answer.NOTHING,
    ),
    Method(
        name="device",
        title="On another device",
        help="Type a short code on a phone; needs an OAuth client of the type 'TVs and Limited Input devices'.",
        answer=Answer.NOTHING,
    ),
)


def open_flow(config: Mapping[str, Any], method: str, *, context: ProviderContext) -> AuthorizationFlow:
    """A flow for a provider's settings; client_id and client_secret are required. Raises InvalidConfiguration."""
    own = settings.load(Settings, config)
    for name in ("client_id", "client_secret"):
        if not getattr(own, name):
            raise InvalidConfiguration(
                f"{name}: missing", field=name, hint="Make an OAuth client in the Google Cloud console, and copy it."
            )
    google = _Google(own, context)
    match method:
        case "device":
            return DeviceFlow(google)
        case "loopback":
            return LoopbackFlow(google)
    return AddressFlow(google)


class _Google:
    """The endpoints used by all methods, and the handling of their answers."""

    def __init__(self, own: Settings, context: ProviderContext) -> None:
        endpoint = checked_endpoint(own.endpoint_url)
        self.own = own
        self.context = context
        self.scope = f"{SCOPE_PREFIX}{own.scope}"
        self.accounts_url = endpoint or _ACCOUNTS_URL
        self._oauth_url = endpoint or _OAUTH_URL
        self._wire = DriveClient(
            endpoint or API_URL,
            network=Network(own, context.environment),
            timeout_s=own.timeout,
            count_call=context.count_call,
        )

    def ask(self, path: str, **form: str) -> errors.DriveReply:
        """Post a form and return the answer, including refusals. Raises ProviderError for everything else."""
        secret = self.own.client_secret
        form |= {"client_id": self.own.client_id}
        if path == "/token":
            form |= {"client_secret": secret.reveal() if secret else ""}
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return self._wire.ask(
            DriveRequest(
                path.strip("/"),
                "POST",
                f"{self._oauth_url}{path}",
                headers=headers,
                body=urlencode(form).encode(),
                authorized=False,
                accepts=_ANSWERS,
            )
        )

    def grant(self, answer: Mapping[str, Any]) -> Grant:
        """The grant in a token answer. Raises Authentication for another account or a missing permission, and then
        revokes the authorisation."""
        refresh_token = Secret(str(answer.get("refresh_token") or ""))
        try:
            if not refresh_token:
                raise Authentication(
                    f"{_TITLE} gave no lasting authorisation (refresh token)",
                    hint="Remove the program's access at myaccount.google.com/permissions, then start again.",
                )
            if self.scope not in str(answer.get("scope", "")).split():
                raise Authentication(
                    f"{_TITLE}: access to files was not allowed",
                    hint="Start again, and leave the box for access to Google Drive ticked.",
                    code="missing_scope",
                )
            account = self._account(str(answer.get("access_token", "")))
        except ProviderError:
            self._revoke(refresh_token or Secret(str(answer.get("access_token", ""))))
            raise
        return Grant(
            secrets={"refresh_token": refresh_token},
            values={"account": account},
            account=account,
            warnings=_warnings(answer),
            expires_at=self.context.now() + lasts_s if (lasts_s := _lasts_s(answer)) else None,
        )

    def _account(self, access_token: str) -> str:
        query = {"fields": "user(emailAddress,displayName)"}
        headers = {"authorization": f"Bearer {access_token}"}
        request = DriveRequest("about.get", "GET", "/drive/v3/about", query, headers, authorized=False)
        user = self._wire.ask_json(request).get("user")
        account = str(user.get("emailAddress") or "") if isinstance(user, dict) else ""
        expected = self.own.account
        if expected and account.casefold() != expected.casefold():
            raise authorization.wrong_account(_TITLE, expected, account or "an account that Google does not name")
        return account

    def _revoke(self, token: Secret) -> None:
        try:
            self.ask("/revoke", token=token.reveal())
        except ProviderError as error:
            _LOG.warning("an unused authorisation could not be revoked: %s", error)

    def close(self) -> None:
        self._wire.close()


def _lasts_s(answer: Mapping[str, Any]) -> int:
    """Seconds until the authorisation itself expires; 0 if it does not."""
    return int(seconds_from_json(answer.get("refresh_token_expires_in"), _LONGEST_GRANT_S) or 0)


def _warnings(answer: Mapping[str, Any]) -> tuple[str, ...]:
    lasts_s = _lasts_s(answer)
    if not lasts_s:
        return ()
    days = max(1, round(lasts_s / _DAY_S))
    return (
        f"This authorisation ends after {days} days, because the client's consent screen is in 'Testing'. Publish "
        "it (Google Auth Platform, Audience, Publish app) and authorise again, or backups will stop.",
    )


class AddressFlow(AuthorizationFlow):
    """The browser ends at an address of its own machine, which it cannot load. The address contains the code."""

    def __init__(self, google: _Google) -> None:
        self._google = google
        self._pkce: Pkce | None = None
        self._state = ""
        self._redirect = _DEAD_END

    def begin(self) -> Authorization:
        return Authorization(
            address=self._begun(),
            answer=Answer.ADDRESS,
            instructions=(
                "Sign in and allow access. The browser then ends on a page that cannot be loaded, as intended. "
                "Paste its whole address."
            ),
            state=self._state,
        )

    def _begun(self) -> str:
        """A new address to open."""
        self._pkce, self._state = Pkce(), authorization.new_state()
        query = {
            "client_id": self._google.own.client_id,
            "redirect_uri": self._redirect,
            "response_type": "code",
            "scope": self._google.scope,
            "access_type": "offline",
            "prompt": "consent",
            "code_challenge": self._pkce.challenge,
            "code_challenge_method": "S256",
            "state": self._state,
        }
        if self._google.own.account:
            query["login_hint"] = self._google.own.account
        return f"{self._google.accounts_url}/o/oauth2/v2/auth?{urlencode(query)}"

    def finish(self, pasted: str) -> Grant:
        pkce = self._pkce
        if pkce is None:
            raise Authentication(f"{_TITLE}: no authorisation is in progress", hint="Start again.")
        code = authorization.code_from(pasted, title=_TITLE, state=self._state)
        reply = self._google.ask(
            "/token",
            grant_type="authorization_code",
            code=code.reveal(),
            code_verifier=pkce.verifier.reveal(),
            redirect_uri=self._redirect,
        )
        if reply.status >= 400:
            error = errors.failure(reply)
            raise authorization.expired(_TITLE) if error.code == "invalid_grant" else error
        self._pkce = None
        return self._google.grant(reply.json())

    def close(self) -> None:
        self._google.close()


class LoopbackFlow(AddressFlow):
    """The browser reaches this machine through an ssh tunnel. Pasting the address works too."""

    def __init__(self, google: _Google) -> None:
        super().__init__(google)
        self._listener: socket.socket | None = None

    def begin(self) -> Authorization:
        self._stop_listening()
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self._redirect = f"http://127.0.0.1:{port}/"
        return Authorization(
            address=self._begun(),
            answer=Answer.NOTHING,
            instructions=(
                "Run the command on the machine with the browser (not needed if that is this one), then open the "
                "address and allow access. Without the tunnel, paste the address that the browser ends on."
            ),
            state=self._state,
            command=tunnel(port, os.environ),
            interval_s=0.5,
        )

    def poll(self) -> Grant | None:
        """Answers all waiting requests. Finishes with the one that carries our state."""
        listener = self._listener
        if listener is None:
            raise Authentication(f"{_TITLE}: no authorisation is in progress", hint="Start again.")
        while select.select([listener], [], [], 0)[0]:
            connection, _ = listener.accept()
            with connection:
                target = request_target(connection)
                ours = f"state={self._state}" in target
                respond(connection, ours=ours)
            if ours:
                self._stop_listening()
                return self.finish(f"{self._redirect.rstrip('/')}{target}")
        return None

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
        self._listener = None

    def close(self) -> None:
        self._stop_listening()
        super().close()


class DeviceFlow(AuthorizationFlow):
    """The user types a short code on any device. Google allows this only for the scope drive.file."""

    def __init__(self, google: _Google) -> None:
        self._google = google
        self._device_code = Secret("")
        self._interval_s = _SLOWER_S
        self._next_at = 0.0

    def begin(self) -> Authorization:
        if self._google.own.scope != "drive.file":
            raise InvalidConfiguration(
                "scope: with this method, Google allows only drive.file",
                field="scope",
                hint="Set scope to drive.file, or paste an address.",
            )
        reply = self._google.ask("/device/code", scope=self._google.scope)
        if reply.status >= 400:
            error = errors.failure(reply)
            if error.code in ("invalid_client", "unauthorized_client"):
                error.hint = "For this method the OAuth client must be of the type 'TVs and Limited Input devices'."
            raise error
        answer = reply.json()
        try:
            self._device_code = Secret(str(answer["device_code"]))
            address, user_code = str(answer["verification_url"]), str(answer["user_code"])
        except KeyError:
            raise errors.not_drive(reply) from None
        self._interval_s = seconds_from_json(answer.get("interval"), _LONGEST_INTERVAL_S) or _SLOWER_S
        lasts_s = seconds_from_json(answer.get("expires_in"), _DAY_S) or _CODE_LASTS_S
        self._next_at = self._google.context.clock() + self._interval_s
        return Authorization(
            address=address,
            answer=Answer.NOTHING,
            instructions="Open the address on any device, type the code, sign in and allow access.",
            user_code=user_code,
            interval_s=self._interval_s,
            expires_at=self._google.context.now() + lasts_s,
        )

    def finish(self, pasted: str) -> Grant:
        raise Unsupported("nothing to paste here: type the code on the page")

    def poll(self) -> Grant | None:
        """Does nothing before the next interval has passed."""
        if not self._device_code:
            raise Authentication(f"{_TITLE}: no authorisation is in progress", hint="Start again.")
        if self._google.context.clock() < self._next_at:
            return None
        reply = self._google.ask(
            "/token",
            grant_type="urn:ietf:params:oauth:grant-type:device_code",
            device_code=self._device_code.reveal(),
        )
        self._next_at = self._google.context.clock() + self._interval_s
        if reply.status < 400:
            self._device_code = Secret("")
            return self._google.grant(reply.json())
        match (json_object(reply.body) or {}).get("error"):
            case "authorization_pending":
                return None
            case "slow_down":
                self._interval_s += _SLOWER_S
                self._next_at += _SLOWER_S
                return None
            case "access_denied":
                error: ProviderError = authorization.denied(_TITLE)
            case "expired_token" | "invalid_grant":
                error = authorization.expired(_TITLE)
            case _:
                error = errors.failure(reply)
        self._device_code = Secret("")
        raise error

    def close(self) -> None:
        self._google.close()
