"""OAuth with Dropbox: begin, success, and every way to fail."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from providers import oauth, registry
from providers.contract import authorization
from providers.contract.authorization import Answer
from providers.contract.context import ProviderContext
from providers.errors import Authentication, InvalidConfiguration, PermissionDenied, Transient, Unsupported
from providers.secret import Secret
from tests.servers.dropbox_server import APP_KEY, EMAIL, SCOPES, DropboxServer


@pytest.fixture
def clock():
    class Clock:
        at = 1_800_000_000.0

        def __call__(self):
            return self.at

    return Clock()


@pytest.fixture
def server(clock):
    with DropboxServer(now=clock) as server:
        yield server


@pytest.fixture
def flow(server):
    with oauth.open_flow("dropbox", {"app_key": APP_KEY, "endpoint_url": server.url}) as flow:
        yield flow


def test_a_code_becomes_working_credentials(server, flow):
    step = flow.begin()
    grant = flow.finish(f"  {server.allow(step.address)}\n")
    assert EMAIL in grant.account
    assert set(grant.secrets) == {"refresh_token"}
    assert server.knows(grant.secrets["refresh_token"].reveal())
    provider = registry.load("dropbox")(
        {"app_key": APP_KEY, "endpoint_url": server.url, **grant.secrets, **grant.values}
    )
    assert provider.check_authentication() == f"signed in as {grant.account}"
    provider.close()


def test_instructions_contain_no_secret(server, flow):
    step = flow.begin()
    query = {name: values[0] for name, values in parse_qs(urlsplit(step.address).query).items()}
    assert step.answer is Answer.CODE
    assert query["token_access_type"] == "offline"
    assert query["code_challenge_method"] == "S256"
    assert query["scope"].split() == list(SCOPES)
    grant = flow.finish(server.allow(step.address))
    secret = grant.secrets["refresh_token"].reveal()
    assert secret not in repr(grant) + repr(step) + repr(vars(flow))


def test_the_address_is_dropbox_s_own_without_an_endpoint():
    with oauth.open_flow("dropbox", {"app_key": APP_KEY}) as flow:
        assert flow.begin().address.startswith("https://www.dropbox.com/oauth2/authorize?client_id=testappkey12345&")


def test_each_begin_invalidates_the_previous_one(server, flow):
    first, second = flow.begin(), flow.begin()
    assert first.address != second.address
    assert first.state != second.state
    with pytest.raises(Authentication) as caught:
        flow.finish(server.allow(first.address))
    assert caught.value.code == authorization.EXPIRED
    assert flow.finish(server.allow(flow.begin().address)).account


def test_an_expired_code(server, flow, clock):
    code = server.allow(flow.begin().address)
    clock.at += server.code_lasts_s + 1
    with pytest.raises(Authentication, match="expired") as caught:
        flow.finish(code)
    assert caught.value.code == authorization.EXPIRED
    assert code not in str(caught.value)


def test_a_mistyped_code_may_be_pasted_again(server, flow):
    code = server.allow(flow.begin().address)
    with pytest.raises(Authentication):
        flow.finish("some words")
    with pytest.raises(Authentication):
        flow.finish("")
    assert flow.finish(code).account


def test_a_code_works_once(server, flow):
    code = server.allow(flow.begin().address)
    flow.finish(code)
    with pytest.raises(Authentication, match="in progress"):
        flow.finish(code)


def test_denied_in_the_browser(flow):
    step = flow.begin()
    with pytest.raises(Authentication, match="denied") as caught:
        flow.finish(f"https://example.com/?error=access_denied&state={step.state}")
    assert caught.value.code == authorization.DENIED


def test_the_answer_to_another_authorisation(flow):
    flow.begin()
    with pytest.raises(Authentication) as caught:
        flow.finish("https://example.com/?code=abc&state=of-somebody-else")
    assert caught.value.code == authorization.STATE_MISMATCH


def test_another_account_is_refused_and_its_grant_revoked(server):
    config = {"app_key": APP_KEY, "endpoint_url": server.url, "account_id": "dbid:mine"}
    with oauth.open_flow("dropbox", config) as flow:
        code = server.allow(flow.begin().address, email="other@example.com", account_id="dbid:other")
        with pytest.raises(Authentication, match=r"other@example\.com") as caught:
            flow.finish(code)
    assert caught.value.code == authorization.WRONG_ACCOUNT
    assert server.calls[-1] == "auth/token/revoke"
    assert list(server._grants) == ["TESTREFRESHTOKEN-must-never-be-shown"]


def test_missing_permissions_of_the_app_are_named(server, flow):
    code = server.allow(flow.begin().address, app_scopes=("account_info.read", "files.metadata.read"))
    with pytest.raises(PermissionDenied, match=r"files\.content\.read, files\.content\.write") as caught:
        flow.finish(code)
    assert "Permissions tab" in caught.value.hint


def test_an_unknown_app_key(server):
    with oauth.open_flow("dropbox", {"app_key": "wrong", "endpoint_url": server.url}) as flow:
        flow.begin()
        with pytest.raises(Authentication, match="app key"):
            flow.finish("code")


def test_an_unreachable_server():
    with DropboxServer() as server:
        url = server.url
    with oauth.open_flow("dropbox", {"app_key": APP_KEY, "endpoint_url": url}) as flow:
        flow.begin()
        with pytest.raises(Transient):
            flow.finish("code")


def test_without_an_app_key_nothing_begins():
    with pytest.raises(InvalidConfiguration) as caught:
        oauth.open_flow("dropbox", {})
    assert caught.value.field == "app_key"


def test_each_service_lists_its_methods():
    assert [method.name for method in oauth.methods("dropbox")] == ["code"]
    assert oauth.methods("local") == ()
    assert oauth.methods("no_such_service") == ()
    with pytest.raises(InvalidConfiguration, match="no 'device'"):
        oauth.open_flow("dropbox", {"app_key": "x"}, "device")
    with pytest.raises(Unsupported):
        oauth.open_flow("local", {}, context=ProviderContext())
    with pytest.raises(Unsupported), oauth.open_flow("dropbox", {"app_key": "x"}) as flow:
        flow.poll()


@pytest.mark.parametrize(
    "pasted", ["abc", " abc\n", "https://x/?code=abc&state=s", "http://localhost:1/?state=s&code=abc"]
)
def test_the_code_is_found_in_pasted_text(pasted):
    assert authorization.code_from(pasted, title="X", state="s") == Secret("abc")
