"""Access tokens: made from the refresh token on demand, kept in memory only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from providers.dropbox.errors import DropboxReply, clean, failure
from providers.errors import Authentication, InvalidConfiguration, ProviderError, Transient
from providers.http.access_token import AccessToken
from providers.http.connections import Calls
from providers.http.errors import json_object, seconds_from_json
from providers.remedies import Action, Remedy
from providers.secret import Secret

_LONGEST_S: Final = 86_400.0
"""Limit for a token's lifetime, whatever the server says; Dropbox's last four hours."""
_GIVEN_TOKEN_S: Final = 600.0
_AUTHORIZE: Final = (Remedy(Action.AUTHORIZE),)


class DropboxTokens:
    """May be used from several threads: one refreshes while the others wait."""

    def __init__(
        self,
        app_key: str,
        refresh_token: Secret | None,
        *,
        ask: Callable[[Mapping[str, str], Calls], DropboxReply],
        save: Callable[[Secret, Secret], bool],
        clock: Callable[[], float],
        access: Secret | None = None,
    ) -> None:
        """`ask(form, calls)` posts a form to the token endpoint and returns refusals instead of raising."""
        self._app_key = app_key
        self._refresh_token = refresh_token
        self._ask = ask
        self._save = save
        self._token = AccessToken(clock=clock, first=access, first_lasts_s=_GIVEN_TOKEN_S)

    def access(self, calls: Calls, *, instead_of: Secret | None = None) -> Secret:
        """A token that is valid now, and not `instead_of`, which the service has refused.

        Raises ProviderError: Transient if the session is interrupted while another thread renews the token.
        """
        call = calls.begin()

        def check() -> None:
            if call.interrupted:
                raise Transient("interrupted")

        try:
            return self._token.get(lambda: self._refresh(calls), check, stale=instead_of)
        finally:
            calls.end(call)

    def _refresh(self, calls: Calls) -> tuple[Secret, float]:
        if not self._app_key:
            raise InvalidConfiguration("app_key: the app key is missing", field="app_key")
        if not self._refresh_token:
            raise Authentication("Dropbox: this provider is not authorised yet", remedies=_AUTHORIZE)
        form = {
            "grant_type": "refresh_token",
            "refresh_token": self._refresh_token.reveal(),
            "client_id": self._app_key,
        }
        reply = self._ask(form, calls)
        if not 200 <= reply.status < 300:
            raise refused(reply)
        answer = reply.json()
        newer = answer.get("refresh_token")
        if isinstance(newer, str) and newer and newer != self._refresh_token.reveal():
            self._save(self._refresh_token, Secret(newer))
            self._refresh_token = Secret(newer)
        return access_of(answer)


def access_of(answer: dict[str, Any]) -> tuple[Secret, float]:
    """The access token in a token endpoint's answer, and its lifetime in seconds."""
    token, lasts_s = answer.get("access_token"), seconds_from_json(answer.get("expires_in"), _LONGEST_S)
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        raise Transient("Dropbox's token endpoint gave no token")
    return Secret(token), lasts_s or 0.0


def refused(reply: DropboxReply) -> ProviderError:
    """Translates a refusal by the token endpoint (RFC 6749, 5.2)."""
    found = json_object(reply.body) or {}
    error = found.get("error")
    code = clean(error, 60) if isinstance(error, str) else ""
    words = clean(str(found.get("error_description") or code), 200)
    if code == "invalid_grant":
        return Authentication(
            f"Dropbox no longer accepts this authorisation: {words}",
            hint="It was revoked, or belongs to another app key.",
            remedies=_AUTHORIZE,
            code="invalid_grant",
        )
    if code in {"invalid_client", "unauthorized_client"} or (code and "client_id" in words):
        return Authentication(
            f"Dropbox does not know this app key: {words}", hint="Check app_key in the App Console.", code=code
        )
    if code and reply.status < 429:
        return Authentication(f"Dropbox refused the authorisation: {words}", remedies=_AUTHORIZE, code=code)
    return failure(reply, "authorisation")
