"""OAuth with Dropbox: the user opens an address in any browser and pastes the code that the page shows.

Uses PKCE without a redirect: no app secret is needed, and no port is opened. Source:
https://www.dropbox.com/developers/documentation/http/documentation#oauth2-authorize
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from providers import settings
from providers.contract import authorization
from providers.contract.authorization import Answer, Authorization, AuthorizationFlow, Grant, Method, Pkce
from providers.contract.context import ProviderContext
from providers.dropbox.client import WEB, DropboxClient, DropboxRequest
from providers.dropbox.provider import signed_in
from providers.dropbox.settings import Settings
from providers.dropbox.tokens import access_of, refused
from providers.errors import Authentication, InvalidConfiguration, PermissionDenied, ProviderError
from providers.http.connections import Calls, checked_endpoint
from providers.http.network import Network
from providers.secret import Secret

_LOG: Final = logging.getLogger(__name__)
_TITLE: Final = "Dropbox"
SCOPES: Final = ("account_info.read", "files.content.read", "files.content.write", "files.metadata.read")
"""Exactly the permissions that a backup needs."""

METHODS: Final = (
    Method(
        name="code",
        title="Paste a code",
        help="Open an address in any browser, on any machine, and paste the code that the page shows.",
        answer=Answer.CODE,
    ),
)


def open_flow(config: Mapping[str, Any], method: str, *, context: ProviderContext) -> AuthorizationFlow:
    """A flow for a provider's settings; `app_key` is required. Raises InvalidConfiguration."""
    own = settings.load(Settings, config)
    if not own.app_key:
        raise InvalidConfiguration(
            "app_key: the app key is missing", field="app_key", hint="Copy it from the Dropbox App Console."
        )
    return CodeFlow(own, context)


class CodeFlow(AuthorizationFlow):
    """Holds the PKCE verifier of the latest `begin`, which can be finished once."""

    def __init__(self, own: Settings, context: ProviderContext) -> None:
        self._own = own
        self._context = context
        self._endpoint_url = checked_endpoint(own.endpoint_url)
        self._pkce: Pkce | None = None
        self._state = ""
        self._wires: list[DropboxClient] = []

    def begin(self) -> Authorization:
        self._pkce = Pkce()
        self._state = authorization.new_state()
        query = {
            "client_id": self._own.app_key,
            "response_type": "code",
            "token_access_type": "offline",
            "code_challenge": self._pkce.challenge,
            "code_challenge_method": "S256",
            "scope": " ".join(SCOPES),
            "state": self._state,
        }
        return Authorization(
            address=f"{self._endpoint_url or WEB}/oauth2/authorize?{urlencode(query)}",
            answer=Answer.CODE,
            instructions="Sign in to Dropbox, choose Allow, and paste the code that the page shows.",
            state=self._state,
        )

    def finish(self, pasted: str) -> Grant:
        pkce = self._pkce
        if pkce is None:
            raise Authentication("Dropbox: no authorisation is in progress", hint="Start again.")
        code = authorization.code_from(pasted, title=_TITLE, state=self._state)
        answer = self._exchange(code, pkce)
        self._pkce = None
        access, _ = access_of(answer)
        refresh = answer.get("refresh_token")
        if not isinstance(refresh, str) or not refresh:
            raise Authentication("Dropbox gave no lasting authorisation (refresh token)", hint="Start again.")
        wire = self._wire(access)
        try:
            self._check_scopes(str(answer.get("scope", "")))
            account_id, account = signed_in(wire)
            if self._own.account_id and account_id != self._own.account_id:
                raise authorization.wrong_account(_TITLE, self._own.account_id, f"{account} ({account_id})")
        except ProviderError:
            self._revoke(wire)
            raise
        return Grant(secrets={"refresh_token": Secret(refresh)}, values={"account_id": account_id}, account=account)

    def _exchange(self, code: Secret, pkce: Pkce) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code.reveal(),
            "client_id": self._own.app_key,
            "code_verifier": pkce.verifier.reveal(),
        }
        reply = self._wire(None).ask_for_token(form, Calls())
        if 200 <= reply.status < 300:
            return reply.json()
        error = refused(reply)
        if error.code == "invalid_grant":
            raise authorization.expired(_TITLE)
        raise error

    def _check_scopes(self, granted: str) -> None:
        missing = [scope for scope in SCOPES if scope not in granted.split()]
        if missing:
            names = ", ".join(missing)
            raise PermissionDenied(
                f"Dropbox: the app lacks permissions that a backup needs: {names}",
                hint=f"Tick {names} in the app's Permissions tab, submit, then start again.",
                code="missing_scope",
            )

    def _revoke(self, wire: DropboxClient) -> None:
        """Revokes an unwanted authorisation, so that it exists neither here nor at Dropbox."""
        try:
            wire.ask(DropboxRequest("auth/token/revoke"), Calls())
        except ProviderError as error:
            _LOG.warning("an unused authorisation could not be revoked: %s", error)

    def _wire(self, access: Secret | None) -> DropboxClient:
        wire = DropboxClient(
            self._endpoint_url,
            self._own.app_key,
            None,
            network=Network(self._own, self._context.environment),
            timeout_s=self._own.timeout,
            save_secret=self._context.save_secret,
            clock=self._context.clock,
            count_call=self._context.count_call,
            access_token=access,
        )
        self._wires.append(wire)
        return wire

    def close(self) -> None:
        for wire in self._wires:
            wire.close()
        self._wires.clear()
