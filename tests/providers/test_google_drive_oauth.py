"""OAuth with Google: three methods, every outcome of each, and no leftovers."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from providers import oauth, registry
from providers.contract import authorization
from providers.contract.authorization import Answer
from providers.contract.context import ProviderContext
from providers.errors import Authentication, InvalidConfiguration, Unsupported
from providers.google_drive.loopback import tunnel
from providers.testing.support import FakeTime
from providers.testing.transfers import keys
from tests.servers.drive_oauth import ACCOUNT, CLIENT_ID, CLIENT_SECRET
from tests.servers.drive_server import DriveServer


@pytest.fixture
def server() -> Iterator[DriveServer]:
    with DriveServer() as server:
        server.store.folder("Backups")
        yield server


@pytest.fixture
def times() -> FakeTime:
    return FakeTime()


@pytest.fixture
def flow_of(server: DriveServer, times: FakeTime) -> Iterator[Any]:
    opened: list[authorization.AuthorizationFlow] = []

    def open_one(method: str = "", **values: Any) -> authorization.AuthorizationFlow:
        settings = {"endpoint_url": server.url, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, **values}
        context = ProviderContext(clock=times.clock, now=times.clock, sleep=times.sleep)
        flow = oauth.open_flow("google_drive", settings, method, context=context)
        opened.append(flow)
        return flow

    server.authority.now = times.clock
    yield open_one
    for flow in opened:
        flow.close()
        flow.close()


def browse(address: str) -> str:
    """Acts as the browser: opens the address, decides, and returns the redirect address."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=5)
    connection.request("GET", f"{parts.path}?{parts.query}" if parts.query else parts.path)
    reply = connection.getresponse()
    reply.read()
    connection.close()
    return reply.headers["Location"] or ""


def query_of(address: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


def pass_on(server: DriveServer, times: FakeTime, grant: authorization.Grant) -> None:
    """The grant works."""
    values = {"endpoint_url": server.url, "container": "Backups", "client_id": CLIENT_ID}
    secrets = {"client_secret": CLIENT_SECRET, "refresh_token": grant.secrets["refresh_token"]}
    provider = registry.load("google_drive")({**values, **secrets, **grant.values})
    try:
        assert keys(provider) == set()
        assert provider.probe().failure is None
    finally:
        provider.close()


def test_the_methods():
    assert [(method.name, method.answer) for method in oauth.methods("google_drive")] == [
        ("address", Answer.ADDRESS),
        ("loopback", Answer.NOTHING),
        ("device", Answer.NOTHING),
    ]


# Pasting


def test_pasting_the_address_at_which_the_browser_ends(server, times, flow_of):
    flow = flow_of()
    step = flow.begin()
    asked = query_of(step.address)
    assert asked["scope"] == "https://www.googleapis.com/auth/drive.file"
    assert (asked["access_type"], asked["code_challenge_method"], asked["state"]) == ("offline", "S256", step.state)
    grant = flow.finish(f"  {browse(step.address)}\n")
    assert (grant.account, grant.values, grant.warnings) == (ACCOUNT, {"account": ACCOUNT}, ())
    pass_on(server, times, grant)


def test_instructions_contain_no_secret(server, flow_of):
    for method in ("address", "loopback", "device"):
        step = flow_of(method).begin()
        assert CLIENT_SECRET not in repr(step)
        assert "verifier" not in repr(step)
    flow = flow_of()
    grant = flow.finish(browse(flow.begin().address))
    assert grant.secrets["refresh_token"].reveal() not in repr(grant)


def test_the_scope_of_the_whole_drive_if_set(flow_of):
    assert query_of(flow_of(scope="drive").begin().address)["scope"] == "https://www.googleapis.com/auth/drive"


def test_the_code_alone_is_accepted(server, flow_of):
    flow = flow_of()
    code = query_of(browse(flow.begin().address))["code"]
    assert flow.finish(code).account == ACCOUNT


def test_denied(server, flow_of):
    server.authority.denies = True
    flow = flow_of()
    with pytest.raises(Authentication) as caught:
        flow.finish(browse(flow.begin().address))
    assert caught.value.code == authorization.DENIED


def test_the_answer_to_another_authorisation(server, flow_of):
    flow = flow_of()
    older = browse(flow.begin().address)
    flow.begin()
    with pytest.raises(Authentication) as caught:
        flow.finish(older)
    assert caught.value.code == authorization.STATE_MISMATCH


def test_a_used_or_foreign_code(server, flow_of):
    flow = flow_of()
    ended = browse(flow.begin().address)
    flow.finish(ended)
    with pytest.raises(Authentication, match="in progress"):
        flow.finish(ended)
    stolen = flow_of()
    stolen.begin()
    with pytest.raises(Authentication) as caught:  # another verifier
        stolen.finish(query_of(browse(flow.begin().address))["code"])
    assert caught.value.code == authorization.EXPIRED


def test_another_account(server, flow_of):
    flow = flow_of(account="somebody@else.example")
    step = flow.begin()
    assert query_of(step.address)["login_hint"] == "somebody@else.example"
    with pytest.raises(Authentication) as caught:
        flow.finish(browse(step.address))
    assert caught.value.code == authorization.WRONG_ACCOUNT
    assert ACCOUNT in caught.value.message
    assert len(server.authority.revoked) == 1, "what is not wanted stays allowed"


def test_a_permission_that_was_not_granted(server, flow_of):
    server.authority.granted_scope = "openid email"
    flow = flow_of()
    with pytest.raises(Authentication, match="not allowed") as caught:
        flow.finish(browse(flow.begin().address))
    assert "ticked" in caught.value.hint
    assert len(server.authority.revoked) == 1


def test_a_consent_screen_in_testing_causes_a_warning(server, flow_of):
    server.authority.in_testing = True
    flow = flow_of()
    (warning,) = flow.finish(browse(flow.begin().address)).warnings
    assert "7 days" in warning
    assert "Publish" in warning


@pytest.mark.parametrize("pasted", ["", "two words", "http://127.0.0.1:1/?state=x"])
def test_an_invalid_answer(flow_of, pasted):
    flow = flow_of()
    flow.begin()
    with pytest.raises(Authentication):
        flow.finish(pasted)


def test_a_wrong_client(server, flow_of):
    flow = flow_of(client_secret="another-secret-never-shown")
    with pytest.raises(Authentication) as caught:
        flow.finish(browse(flow.begin().address))
    assert "client_id" in caught.value.hint
    assert "never-shown" not in f"{caught.value!r}{caught.value.hint}"
    for name in ("client_id", "client_secret"):
        with pytest.raises(InvalidConfiguration, match=name):
            flow_of(**{name: ""})


# Through ssh


def test_the_browser_reaches_the_loopback(server, times, flow_of):
    flow = flow_of("loopback")
    step = flow.begin()
    redirect = query_of(step.address)["redirect_uri"]
    port = urlsplit(redirect).port
    assert re.fullmatch(rf"ssh -N -L {port}:127\.0\.0\.1:{port} .*\S+@\S+", step.command)
    assert flow.poll() is None
    back = browse(step.address)
    grant = polled(flow, back)
    assert grant.account == ACCOUNT
    pass_on(server, times, grant)


def polled(flow: Any, address: str) -> Any:
    """Send a request to the loopback, and let the flow answer it."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=5)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        return flow.poll()
    finally:
        connection.close()


def test_other_requests_to_the_loopback_are_answered_and_ignored(server, flow_of):
    flow = flow_of("loopback")
    step = flow.begin()
    redirect = query_of(step.address)["redirect_uri"]
    for path in ("favicon.ico", "?code=evil&state=evil", "?error=access_denied"):
        assert polled(flow, f"{redirect}{path}") is None
    assert polled(flow, browse(step.address)).account == ACCOUNT
    with pytest.raises(Authentication, match="in progress"):
        flow.poll()


def test_denied_through_the_loopback(server, flow_of):
    server.authority.denies = True
    flow = flow_of("loopback")
    with pytest.raises(Authentication) as caught:
        polled(flow, browse(flow.begin().address))
    assert caught.value.code == authorization.DENIED


def test_without_a_tunnel_the_address_can_be_pasted_too(server, flow_of):
    flow = flow_of("loopback")
    assert flow.finish(browse(flow.begin().address)).account == ACCOUNT


def test_nothing_listens_after_closing(flow_of):
    flow = flow_of("loopback")
    port = urlsplit(query_of(flow.begin().address)["redirect_uri"]).port
    flow.close()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    with pytest.raises(ConnectionRefusedError):
        connection.request("GET", "/")


@pytest.mark.parametrize(
    ("connection", "ending"),
    [("10.0.0.9 50000 10.0.0.2 22", "@10.0.0.2"), ("10.0.0.9 50000 10.0.0.2 2222", "@10.0.0.2"), ("", "")],
)
def test_the_tunnel_names_this_machine_as_it_was_reached(connection, ending):
    command = tunnel(5000, {"SSH_CONNECTION": connection})
    assert command.endswith(ending)
    assert ("-p 2222 " in command) is ("2222" in connection)


# On another device


def test_a_code_on_another_device(server, times, flow_of):
    flow = flow_of("device")
    step = flow.begin()
    assert (step.address, step.interval_s) == ("https://www.google.com/device", 5)
    assert step.expires_at == times.clock() + 1800
    assert flow.poll() is None
    wait(times, 5)
    assert flow.poll() is None
    server.authority.decide(step.user_code, "allow")
    assert flow.poll() is None, "asked again before the interval was over"
    wait(times, 5)
    grant = flow.poll()
    assert grant.account == ACCOUNT
    pass_on(server, times, grant)
    with pytest.raises(Authentication, match="in progress"):
        flow.poll()


def wait(times: FakeTime, seconds: float) -> None:
    times.sleep(seconds, ProviderContext().cancel)


@pytest.mark.parametrize(("decision", "code"), [("deny", authorization.DENIED), ("expire", authorization.EXPIRED)])
def test_other_outcomes_on_the_device(server, times, flow_of, decision, code):
    flow = flow_of("device")
    server.authority.decide(flow.begin().user_code, decision)
    wait(times, 5)
    with pytest.raises(Authentication) as caught:
        flow.poll()
    assert caught.value.code == code


def test_slow_down_lengthens_the_polling_interval(server, times, flow_of):
    flow = flow_of("device")
    step = flow.begin()
    wait(times, 5)
    assert flow.poll() is None
    server.authority.interval_s = 8
    wait(times, 5)
    assert flow.poll() is None
    server.authority.decide(step.user_code, "allow")
    wait(times, 5)
    assert flow.poll() is None, "the interval was not made longer"
    wait(times, 5)
    assert flow.poll().account == ACCOUNT


def test_the_limits_of_the_device_method(flow_of):
    with pytest.raises(InvalidConfiguration, match="scope"):
        flow_of("device", scope="drive").begin()
    with pytest.raises(Unsupported):
        flow_of("device").finish("code")
    with pytest.raises(Authentication) as caught:
        flow_of("device", client_id="another").begin()
    assert "TVs" in caught.value.hint
