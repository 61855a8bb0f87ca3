"""Google's OAuth endpoints for tests: refresh, code with PKCE, device flow, service accounts.

Sources: "OAuth 2.0 for iOS & Desktop Apps", "... for TV and Limited-Input Device Applications", "... for Server to
Server Applications".
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

CLIENT_ID: Final = "1234567890-test.apps.googleusercontent.com"
CLIENT_SECRET: Final = "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shown"
REFRESH_TOKEN: Final = "1//refresh-token-must-never-be-shown"
ACCOUNT: Final = "backup@example.com"
_DRIVE_FILE: Final = "https://www.googleapis.com/auth/drive.file"
_SEVEN_DAYS_S: Final = 604_799


class Denied(Exception):
    """An error answer by RFC 6749: {'error': ...}."""

    def __init__(self, status: int, error: str, description: str = "") -> None:
        super().__init__(error)
        self.status = status
        self.body = {"error": error, **({"error_description": description} if description else {})}


@dataclass
class _Pending:
    """An issued code, or a waiting device."""

    scope: str
    challenge: str = ""
    redirect_uri: str = ""
    user_code: str = ""
    decision: str = ""
    asked_at: float = 0.0


@dataclass
class Authority:
    """State of all grants. `decide` acts as the person in the browser."""

    now: Callable[[], float] = time.time
    account: str = ACCOUNT
    token_life_s: int = 3599
    in_testing: bool = False
    """The consent screen is in testing: grants expire after seven days."""
    granted_scope: str | None = None
    """Scopes that the person leaves ticked; None: all requested ones."""
    interval_s: int = 5
    denies: bool = False
    service_accounts: dict[str, rsa.RSAPublicKey] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    """Valid access tokens."""
    refresh_tokens: set[str] = field(default_factory=lambda: {REFRESH_TOKEN})
    revoked: list[str] = field(default_factory=list)
    refreshes: int = 0
    """Number of issued access tokens."""
    _codes: dict[str, _Pending] = field(default_factory=dict)
    _devices: dict[str, _Pending] = field(default_factory=dict)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    # The browser

    def consent(self, query: Mapping[str, str]) -> str:
        """Redirect address after the person has decided. Raises Denied if the page would show an error."""
        if query.get("client_id") != CLIENT_ID or query.get("response_type") != "code":
            raise Denied(400, "invalid_request")
        redirect = query.get("redirect_uri", "")
        if not redirect.startswith(("http://127.0.0.1:", "http://localhost:", "http://[::1]:")):
            raise Denied(400, "redirect_uri_mismatch")
        if query.get("code_challenge_method") != "S256" or query.get("access_type") != "offline":
            raise Denied(400, "invalid_request")
        answer = {"state": query.get("state", "")}
        if self.denies:
            answer["error"] = "access_denied"
        else:
            code = f"4/0{secrets.token_urlsafe(40)}"
            self._codes[code] = _Pending(query.get("scope", ""), query.get("code_challenge", ""), redirect)
            answer |= {"code": code, "scope": self.granted_scope or query.get("scope", "")}
        return f"{redirect}{'&' if '?' in redirect else '?'}{urlencode(answer)}"

    def device(self, form: Mapping[str, str]) -> dict[str, Any]:
        if form.get("client_id") != CLIENT_ID:
            raise Denied(401, "invalid_client", "The OAuth client was not found.")
        if form.get("scope") != _DRIVE_FILE:
            raise Denied(400, "invalid_scope", "Invalid device flow scope.")
        code = secrets.token_urlsafe(30)
        user_code = f"GQVQ-JKE{next(self._numbers)}"
        self._devices[code] = _Pending(_DRIVE_FILE, user_code=user_code)
        return {
            "device_code": code,
            "user_code": user_code,
            "verification_url": "https://www.google.com/device",
            "expires_in": 1800,
            "interval": self.interval_s,
        }

    def decide(self, user_code: str, decision: str) -> None:
        """Choose `allow`, `deny` or `expire` on the page of the device flow."""
        (pending,) = [item for item in self._devices.values() if item.user_code == user_code]
        pending.decision = decision

    def revoke(self, token: str) -> None:
        self.revoked.append(token)
        self.refresh_tokens.discard(token)
        self.tokens.discard(token)

    # The token endpoint

    def token(self, form: Mapping[str, str]) -> dict[str, Any]:
        match form.get("grant_type"):
            case "refresh_token":
                self._check_client(form)
                if form.get("refresh_token") not in self.refresh_tokens:
                    raise Denied(400, "invalid_grant", "Token has been expired or revoked.")
                return self._access(_DRIVE_FILE)
            case "authorization_code":
                self._check_client(form)
                return self._redeem(form)
            case "urn:ietf:params:oauth:grant-type:device_code":
                self._check_client(form)
                return self._poll(form)
            case "urn:ietf:params:oauth:grant-type:jwt-bearer":
                return self._assertion(form.get("assertion", ""))
        raise Denied(400, "unsupported_grant_type")

    def _check_client(self, form: Mapping[str, str]) -> None:
        if form.get("client_id") != CLIENT_ID:
            raise Denied(401, "invalid_client", "The OAuth client was not found.")
        if form.get("client_secret") != CLIENT_SECRET:
            raise Denied(401, "invalid_client", "The provided client secret is invalid.")

    def _redeem(self, form: Mapping[str, str]) -> dict[str, Any]:
        pending = self._codes.pop(form.get("code", ""), None)
        if pending is None or pending.redirect_uri != form.get("redirect_uri"):
            raise Denied(400, "invalid_grant", "Malformed auth code.")
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != pending.challenge:
            raise Denied(400, "invalid_grant", "Invalid code verifier.")
        return self._granted(pending.scope)

    def _poll(self, form: Mapping[str, str]) -> dict[str, Any]:
        pending = self._devices.get(form.get("device_code", ""))
        if pending is None or pending.decision == "expire":
            raise Denied(400, "expired_token")
        early = pending.asked_at and self.now() - pending.asked_at < self.interval_s
        pending.asked_at = self.now()
        if pending.decision == "deny":
            raise Denied(403, "access_denied", "Forbidden")
        if pending.decision == "allow":
            return self._granted(pending.scope)
        if early:
            raise Denied(403, "slow_down", "Forbidden")
        raise Denied(428, "authorization_pending", "Precondition Required")

    def _granted(self, scope: str) -> dict[str, Any]:
        refresh_token = f"1//0{secrets.token_urlsafe(40)}"
        self.refresh_tokens.add(refresh_token)
        found = {**self._access(self.granted_scope or scope), "refresh_token": refresh_token}
        if self.in_testing:
            found["refresh_token_expires_in"] = _SEVEN_DAYS_S
        return found

    def _assertion(self, assertion: str) -> dict[str, Any]:
        try:
            head, claims, signature = assertion.split(".")
            claimed = json.loads(_decoded(claims))
            key = self.service_accounts[claimed["iss"]]
        except (ValueError, KeyError):
            raise Denied(400, "invalid_grant", "Invalid grant: account not found") from None
        try:
            key.verify(_decoded(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            raise Denied(400, "invalid_grant", "Invalid JWT Signature.") from None
        if abs(self.now() - claimed["iat"]) > 600:
            raise Denied(
                400, "invalid_grant", "Invalid JWT: Token must be a short-lived token and in a reasonable timeframe."
            )
        return self._access(claimed["scope"])

    def _access(self, scope: str) -> dict[str, Any]:
        self.refreshes += 1
        token = f"ya29.a0-access-{self.refreshes}-{secrets.token_urlsafe(20)}"
        self.tokens.add(token)
        return {"access_token": token, "expires_in": self.token_life_s, "scope": scope, "token_type": "Bearer"}


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
