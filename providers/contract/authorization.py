"""Authorising a service in a browser, also where the server has none: what every flow of `providers/<name>/oauth.py`
has in common, so that one screen and one command (`authorize NAME`) serve them all.

A flow prints nothing, asks nothing and waits for nobody: the caller does. State and PKCE verifier stay inside it.
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
"""`code` of the Authentication errors with which a flow ends. Words of the service itself pass as they are."""


class Answer(StrEnum):
    """What the person does after having allowed access in the browser."""

    CODE = "code"
    """Pastes the code that the page shows: `finish(pasted)`."""
    ADDRESS = "address"
    """Pastes the address at which the browser ends, a page that cannot be loaded: `finish(pasted)`."""
    NOTHING = "nothing"
    """Nothing: the flow learns of it itself. `poll()` every `interval_s`."""


class Method(msgspec.Struct, frozen=True, kw_only=True):
    """One way to authorise a service."""

    name: str
    title: str
    help: str
    """When to choose it, in one sentence."""
    answer: Answer


class Authorization(msgspec.Struct, frozen=True, kw_only=True):
    """What to show. Holds no secret: the address may be copied, logged and photographed."""

    address: str
    """To be opened in any browser, on any machine."""
    answer: Answer
    instructions: str
    """One or two sentences: what the page asks, and what to bring back."""
    state: str = ""
    """Part of the address where the service sends it back; checked by the flow, shown to nobody."""
    user_code: str = ""
    """To be typed on the page (device flow); empty where there is none."""
    command: str = ""
    """To be run on the machine with the browser first, ready to copy (`ssh -L ...`); empty where none is needed."""
    interval_s: float = 0.0
    """Seconds between two `poll()`; 0 where nothing is polled."""
    expires_at: float | None = None
    """Seconds since the epoch after which it must be begun anew; None when the service does not say."""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What was allowed: to be put into the instance's settings, secrets into the keyring."""

    secrets: dict[str, Secret]
    """By setting: {'refresh_token': ...}."""
    values: dict[str, str] = msgspec.field(default_factory=dict)
    """Settings that are no secrets: {'account_id': ...}."""
    account: str = ""
    """Whose it is, for a person to recognise: an e-mail address or a name."""
    warnings: tuple[str, ...] = ()
    """What to know before relying on it, such as a grant that ends after seven days."""
    expires_at: float | None = None
    """Seconds since the epoch at which it ends; None where the service names no end."""


class AuthorizationFlow(ABC):
    """One authorisation from `begin` to a `Grant`. Used by one thread at a time; waits end by the context's cancel.

    Every end but a grant is an Authentication error that says what happened, why and what to do: denied, expired,
    a code that was not accepted, another account than before. Begin anew after any of them.
    """

    @abstractmethod
    def begin(self) -> Authorization:
        """A fresh address, with new state and verifier; an earlier one is void from now on."""

    @abstractmethod
    def finish(self, pasted: str) -> Grant:
        """Exchange what the person pasted, blanks around it ignored. Unsupported where nothing is pasted."""

    def poll(self) -> Grant | None:
        """The grant once there is one, None while the person has not decided. Unsupported where nothing is polled."""
        raise Unsupported("this authorisation ends with something to paste")

    def close(self) -> None:  # noqa: B027 - not every flow listens or holds connections
        """Free what it holds. May be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Pkce:
    """A verifier that never shows itself, and its S256 challenge (RFC 7636)."""

    def __init__(self) -> None:
        self.verifier = Secret(secrets.token_urlsafe(64))
        digest = hashlib.sha256(self.verifier.reveal().encode("ascii")).digest()
        self.challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def new_state() -> str:
    return secrets.token_urlsafe(24)


def code_from(pasted: str, *, title: str, state: str = "") -> Secret:
    """The code in what a person pasted: the code alone, or the address at which the browser ended.

    With `state`, an address must carry just that; a code alone carries none. Raises Authentication when access was
    denied, the state is another one, or nothing like a code is there.
    """
    text = pasted.strip()
    if "=" not in text:
        if not text or any(char.isspace() for char in text):
            raise Authentication(f"{title}: that is not a code", hint="Copy the whole code from the page, and only it.")
        return Secret(text)
    query = {name: values[-1] for name, values in parse_qs(urlsplit(text).query or text.lstrip("?")).items()}
    if state and not hmac.compare_digest(query.get("state", "").encode(), state.encode()):
        raise state_mismatch(title)
    if "error" in query:
        raise (
            denied(title)
            if query["error"] == DENIED
            else Authentication(
                f"{title} did not authorise: {query['error'][:100]}", hint="Begin anew.", code=query["error"][:100]
            )
        )
    if not query.get("code"):
        raise Authentication(
            f"{title}: no code is in that address", hint="Copy the whole address, from http to its end."
        )
    return Secret(query["code"])


def denied(title: str) -> Authentication:
    return Authentication(
        f"{title}: access was denied in the browser", hint="Begin anew, and choose to allow access.", code=DENIED
    )


def expired(title: str) -> Authentication:
    return Authentication(
        f"{title}: the code has expired, or was used before",
        hint="Begin anew; the code must be brought back within minutes.",
        code=EXPIRED,
    )


def wrong_account(title: str, expected: str, got: str) -> Authentication:
    return Authentication(
        f"{title}: authorised by {got}, but this instance belongs to {expected}",
        hint="Sign out in the browser and begin anew with the right account, or set up another instance.",
        code=WRONG_ACCOUNT,
    )


def state_mismatch(title: str) -> Authentication:
    return Authentication(
        f"{title}: this answer belongs to another authorisation than the one that was begun here",
        hint="Begin anew, and open just the address that is shown. If it repeats, somebody may be interfering.",
        code=STATE_MISMATCH,
    )
