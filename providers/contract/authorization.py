"""Browser authorisation, also for servers without a browser: the interface shared by every `providers/<name>/oauth.py`,
so that one screen and one command (`authorize NAME`) serve them all.

A flow prints nothing, asks nothing and does not wait for the user; the caller does. State and PKCE verifier stay
inside it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from abc import ABC, abstractmethod
from enum import StrEnum
from typing import Final, Self
from urllib.parse import parse_qs, urlsplit

import msgspec

from providers.errors import Authentication, Unsupported
from providers.secret import Secret

DENIED: Final = "access_denied"
EXPIRED: Final = "expired"
WRONG_ACCOUNT: Final = "wrong_account"
STATE_MISMATCH: Final = "state_mismatch"
"""`code` of the Authentication errors that end a flow. Codes of the service itself are passed through."""


class Answer(StrEnum):
    """The user's next step after allowing access in the browser."""

    CODE = "code"
    """Paste the code shown on the page: `finish(pasted)`."""
    ADDRESS = "address"
    """Paste the address where the browser ends, a page that fails to load: `finish(pasted)`."""
    NOTHING = "nothing"
    """Nothing; the flow finds out by itself. Call `poll()` every `interval_s`."""


class Method(msgspec.Struct, frozen=True, kw_only=True):
    """One way to authorise a service."""

    name: str
    title: str
    help: str
    """When to choose it, in one sentence."""
    answer: Answer


class Authorization(msgspec.Struct, frozen=True, kw_only=True):
    """The content to show. Holds no secret: the address may be copied, logged and photographed."""

    address: str
    """To open in any browser, on any machine."""
    answer: Answer
    instructions: str
    """One or two sentences: what the page asks, and what to bring back."""
    state: str = ""
    """Part of the address if the service returns it; checked by the flow, never shown."""
    user_code: str = ""
    """To type on the page (device flow); empty if there is none."""
    command: str = ""
    """To run first on the machine with the browser, ready to copy (`ssh -L ...`); empty if not needed."""
    interval_s: float = 0.0
    """Seconds between two calls of `poll()`; 0 if there is nothing to poll."""
    expires_at: float | None = None
    """Seconds since the epoch after which the flow must be started again; None if the service names no limit."""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What the user granted: values for the settings of the instance, secrets for the keyring."""

    secrets: dict[str, Secret]
    """By setting: {'refresh_token': ...}."""
    values: dict[str, str] = msgspec.field(default_factory=dict)
    """Settings that are not secret: {'account_id': ...}."""
    account: str = ""
    """The account, recognisable to its owner: an e-mail address or a name."""
    warnings: tuple[str, ...] = ()
    """Limits to know beforehand, such as a grant that ends after seven days."""
    expires_at: float | None = None
    """Seconds since the epoch at which the grant ends; None if the service names no end."""


class AuthorizationFlow(ABC):
    """One authorisation from `begin` to a `Grant`. Used by one thread at a time; the context's cancel ends its waits.

    Failures are Authentication errors that say what happened, why and what to do: denied, expired, code not accepted,
    another account than before. Start again after any of them.
    """

    @abstractmethod
    def begin(self) -> Authorization:
        """A fresh address with new state and verifier; earlier addresses become void."""

    @abstractmethod
    def finish(self, pasted: str) -> Grant:
        """Exchange the pasted text, ignoring blanks around it. Raises Unsupported if nothing is to be pasted."""

    def poll(self) -> Grant | None:
        """The grant, or None while the user has not decided. Raises Unsupported if the method does not poll."""
        raise Unsupported("this authorisation ends with a code or address to paste")

    def close(self) -> None:  # noqa: B027 - not every flow listens or holds connections
        """Release resources. May be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Pkce:
    """A verifier that is never shown, and its S256 challenge (RFC 7636)."""

    def __init__(self) -> None:
        self.verifier = Secret(secrets.token_urlsafe(64))
        digest = hashlib.sha256(self.verifier.reveal().encode("ascii")).digest()
        self.challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def new_state() -> str:
    return secrets.token_urlsafe(24)


def code_from(pasted: str, *, title: str, state: str = "") -> Secret:
    """The code in pasted text: the code alone, or the address where the browser ended.

    With `state`, an address must carry that state; a code alone carries none. Raises Authentication if access was
    denied, the state differs, or there is no code.
    """
    text = pasted.strip()
    if "=" not in text:
        if not text or any(char.isspace() for char in text):
            raise Authentication(f"{title}: that is not a code", hint="Copy the code from the page, and nothing else.")
        return Secret(text)
    query = {name: values[-1] for name, values in parse_qs(urlsplit(text).query or text.lstrip("?")).items()}
    if state and not hmac.compare_digest(query.get("state", "").encode(), state.encode()):
        raise state_mismatch(title)
    if "error" in query:
        raise (
            denied(title)
            if query["error"] == DENIED
            else Authentication(
                f"{title} did not authorise: {query['error'][:100]}", hint="Start again.", code=query["error"][:100]
            )
        )
    if not query.get("code"):
        raise Authentication(
            f"{title}: that address contains no code", hint="Copy the whole address, from http to its end."
        )
    return Secret(query["code"])


def denied(title: str) -> Authentication:
    return Authentication(
        f"{title}: access was denied in the browser", hint="Start again, and allow access.", code=DENIED
    )


def expired(title: str) -> Authentication:
    return Authentication(
        f"{title}: the code has expired, or was used before",
        hint="Start again, and paste the code within minutes.",
        code=EXPIRED,
    )


def wrong_account(title: str, expected: str, got: str) -> Authentication:
    return Authentication(
        f"{title}: authorised by {got}, but this provider belongs to {expected}",
        hint="Sign out in the browser and start again with the right account, or set up another instance.",
        code=WRONG_ACCOUNT,
    )


def state_mismatch(title: str) -> Authentication:
    return Authentication(
        f"{title}: this answer belongs to another authorisation, not to the one started here",
        hint="Start again, and open only the address shown. If it happens again, someone may be interfering.",
        code=STATE_MISMATCH,
    )
