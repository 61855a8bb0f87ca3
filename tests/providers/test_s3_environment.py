"""The AWS chain uses the variables that came with a job, not those of the current process."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from providers.aws_s3.client import Keys
from providers.aws_s3.provider import S3Provider
from providers.contract.context import ProviderContext
from providers.errors import Authentication, InvalidConfiguration, ProviderError, Transient
from providers.secret import Secret
from tests.providers.test_way_there import Authority
from tests.servers.raw_http import RawRequest, RawServer, reply

DISABLED = "AWS_EC2_METADATA_DISABLED"


@pytest.fixture
def travelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The job's variables. The process has another profile, other files and its own keys. Neither uses the instance
    role."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(DISABLED, "true")
    for who in ("job", "process"):
        (tmp_path / f"{who}.config").write_text(f"[profile {who}]\nregion = of-{who}\n[profile set]\nregion = of-set\n")
        sections = f"[{who}]\naws_access_key_id = KEY-OF-{who}\naws_secret_access_key = S\n"
        (tmp_path / f"{who}.keys").write_text(sections + sections.replace(who, "set").replace(f"KEY-OF-{who}", "SET"))
    monkeypatch.setenv("AWS_PROFILE", "process")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "process.config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "process.keys"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "of-the-process")
    return {
        DISABLED: "true",
        "AWS_PROFILE": "job",
        "AWS_CONFIG_FILE": str(tmp_path / "job.config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "job.keys"),
    }


def provider(environment: dict[str, str], **values: str) -> S3Provider:
    return S3Provider({"container": "b", **values}, context=ProviderContext(environment=environment))


def test_profile_files_and_region_come_from_the_job(travelled: dict[str, str]) -> None:
    made = provider(travelled)
    assert made._keys().access_key == "KEY-OF-job"
    assert made._wire.endpoint.region == "of-job"
    assert provider({**travelled, "AWS_DEFAULT_REGION": "d"})._wire.endpoint.region == "d"
    assert provider({**travelled, "AWS_DEFAULT_REGION": "d", "AWS_REGION": "r"})._wire.endpoint.region == "r"
    assert provider({**travelled, "AWS_REGION": "r"}, region="set")._wire.endpoint.region == "set"


def test_the_setting_takes_precedence_over_the_variable(travelled: dict[str, str]) -> None:
    made = provider({**travelled, "AWS_ACCESS_KEY_ID": "K", "AWS_SECRET_ACCESS_KEY": "S"}, profile="set")
    assert made._keys().access_key.startswith("KEY-OF-set")
    assert made._wire.endpoint.region == "of-set"


def test_a_job_without_a_profile_does_not_get_the_one_of_the_process(
    travelled: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY-OF-process")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "S")
    with pytest.raises(Authentication, match="AWS chain"):
        provider({name: value for name, value in travelled.items() if name != "AWS_PROFILE"})._keys()
    with pytest.raises(InvalidConfiguration, match="there is no 'nobody'"):
        provider({**travelled, "AWS_PROFILE": "nobody"})._keys()


def test_a_key_of_the_environment_is_used_only_where_its_secret_is(
    travelled: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"AWS_ACCESS_KEY_ID": "MINE"}
    with pytest.raises(Authentication, match=r"MINE .*AWS_ACCESS_KEY_ID.* not here"):
        provider(asked)._keys()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ANOTHER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    with pytest.raises(Authentication) as caught:
        provider(asked)._keys()
    assert "canary" not in f"{caught.value} {caught.value.hint}"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "MINE")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "T")
    assert provider(asked)._keys() == Keys("MINE", Secret("canary"), Secret("T"))


LATER = "2099-01-01T00:00:00Z"
GIVEN = {"AccessKeyId": "KEY-OF-ROLE", "SecretAccessKey": "S", "Token": "T", "Expiration": LATER}
ASSUMED = f"""<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>KEY-OF-ROLE</AccessKeyId>
<SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken><Expiration>{LATER}</Expiration></Credentials>
</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""


def roles(asked: RawRequest) -> bytes:
    """Answers of STS and of the container credentials endpoint."""
    return reply(ASSUMED.encode() if asked.method == "POST" else json.dumps(GIVEN).encode())


def test_a_web_identity_role_comes_from_the_job(
    travelled: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_PROFILE")
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::000000000000:role/of-the-process")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "none"))
    (tmp_path / "token").write_text("TOKEN-OF-JOB")
    role = "arn:aws:iam::000000000000:role/of-the-job"
    with RawServer(roles) as server:
        (tmp_path / "job.config").write_text(f"[default]\nendpoint_url = http://127.0.0.1:{server.port}\n")
        variables = {name: value for name, value in travelled.items() if name != "AWS_PROFILE"}
        named = {"AWS_ROLE_ARN": role, "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"), "AWS_REGION": "r-1"}
        made = provider({**variables, **named, "AWS_ROLE_SESSION_NAME": "night"})
        assert made._keys() == Keys("KEY-OF-ROLE", Secret("S"), Secret("T"))
        (asked,) = server.seen
    assert b"of-the-job" in asked.body
    assert b"TOKEN-OF-JOB" in asked.body
    assert b"RoleSessionName=night" in asked.body
    with pytest.raises(Authentication, match="AWS chain"):  # those of the process are not used
        provider(variables)._keys()


def test_a_container_role_comes_from_the_job(
    travelled: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_PROFILE")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/of-the-process")
    (tmp_path / "token").write_text("TOKEN-OF-JOB")
    variables = {name: value for name, value in travelled.items() if name != "AWS_PROFILE"}
    with RawServer(roles) as server:
        address = f"http://127.0.0.1:{server.port}/of-the-job"
        named = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": address}
        token = {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "token")}
        assert provider({**variables, **named, **token})._keys() == Keys("KEY-OF-ROLE", Secret("S"), Secret("T"))
        (asked,) = server.seen
    assert (asked.path, asked.headers["authorization"]) == ("/of-the-job", "TOKEN-OF-JOB")
    with pytest.raises(Authentication, match="AWS chain"):
        provider(variables)._keys()


def test_a_role_whose_profile_names_the_environment_takes_no_keys_of_the_process(
    travelled: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY-OF-process")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "S")
    with RawServer(roles) as server:
        lines = ("[profile job]", "role_arn = arn:aws:iam::000000000000:role/r", "credential_source = Environment")
        more = ("region = r-1", f"endpoint_url = http://127.0.0.1:{server.port}")
        (tmp_path / "job.config").write_text("\n".join((*lines, *more)))
        (tmp_path / "job.keys").write_text("")
        with pytest.raises(Authentication, match="AWS chain"):
            provider(travelled)._keys()
        assert server.seen == []


def test_the_job_decides_whether_the_instance_role_may_be_used(
    travelled: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable that disables it is set in the process, and then in the job."""

    def metadata(asked: RawRequest) -> bytes:
        if asked.path.endswith("/token"):
            return reply(b"TOKEN")
        given = {**GIVEN, "Code": "Success"}
        return reply(json.dumps(given).encode() if asked.path.endswith("/my-role") else b"my-role")

    variables = {name: value for name, value in travelled.items() if name not in ("AWS_PROFILE", DISABLED)}
    monkeypatch.delenv("AWS_PROFILE")
    with RawServer(metadata) as server:
        variables["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = f"http://127.0.0.1:{server.port}"
        assert provider(variables)._keys() == Keys("KEY-OF-ROLE", Secret("S"), Secret("T"))
        before = len(server.seen)
        monkeypatch.delenv(DISABLED)
        with pytest.raises(Authentication, match="AWS chain"):
            provider({**variables, DISABLED: "True"})._keys()
        assert len(server.seen) == before


ROLE = "arn:aws:iam::000000000000:role/r"
OF_ROLE = Keys("KEY-OF-ROLE", Secret("S"), Secret("T"))


def assumed(asked: RawRequest) -> bytes:
    """Answers of STS and of the SSO portal."""
    if asked.method == "POST":
        return reply(ASSUMED.replace("WithWebIdentity", "").encode())
    role = {"accessKeyId": "KEY-OF-ROLE", "secretAccessKey": "S", "sessionToken": "T", "expiration": 4102444800000}
    return reply(json.dumps({"roleCredentials": role}).encode())


def role_of_the_job(tmp_path: Path, *lines: str) -> None:
    with_role = ("[profile job]", "region = r-1", f"role_arn = {ROLE}", "source_profile = base", *lines)
    (tmp_path / "job.config").write_text("\n".join(with_role))
    (tmp_path / "job.keys").write_text("[base]\naws_access_key_id = BASE\naws_secret_access_key = S\n")


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("by_process", "by_job", "in_files"),
    [
        ({"AWS_ENDPOINT_URL": "wrong"}, {"AWS_ENDPOINT_URL": "right"}, ""),
        ({"AWS_ENDPOINT_URL_STS": "wrong"}, {"AWS_ENDPOINT_URL": "right"}, ""),
        ({"AWS_ENDPOINT_URL_STS": "wrong"}, {"AWS_ENDPOINT_URL": "wrong", "AWS_ENDPOINT_URL_STS": "right"}, ""),
        ({"AWS_ENDPOINT_URL": "wrong", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, {}, "right"),
        ({"AWS_MAX_ATTEMPTS": "none"}, {"AWS_ENDPOINT_URL_STS": "right"}, "wrong"),
    ],
)
def test_a_role_is_assumed_at_the_job_s_endpoint(
    travelled: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    by_process: dict[str, str],
    by_job: dict[str, str],
    in_files: str,
) -> None:
    with RawServer(assumed) as right, RawServer(assumed) as wrong:
        urls = {"right": right.url, "wrong": wrong.url}
        for name, value in by_process.items():
            monkeypatch.setenv(name, urls.get(value, value))
        role_of_the_job(tmp_path, *([f"endpoint_url = {urls[in_files]}"] if in_files else []))
        variables = {name: urls[value] for name, value in by_job.items()}
        assert provider({**travelled, **variables})._keys() == OF_ROLE
        assert len(right.seen) == 1
        assert wrong.connections == 0


def test_configured_endpoints_are_ignored_if_the_job_says_so(travelled: dict[str, str], tmp_path: Path) -> None:
    with RawServer(assumed) as server:
        role_of_the_job(tmp_path, f"endpoint_url = {server.url}")
        nowhere = {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", "HTTPS_PROXY": "http://127.0.0.1:1"}
        with pytest.raises(Transient, match=r"cannot be reached: ProxyConnectionError"):
            provider({**travelled, **nowhere, "AWS_MAX_ATTEMPTS": "1"})._keys()
        assert server.connections == 0


def test_sso_uses_the_job_s_endpoint(
    travelled: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.credentials import SSOProvider

    start = "https://sign-on.test/start"
    kept = tmp_path / f"{hashlib.sha1(start.encode()).hexdigest()}.json"
    kept.write_text(json.dumps({"startUrl": start, "region": "r-1", "accessToken": "TOKEN-OF-JOB", "expiresAt": LATER}))
    monkeypatch.setattr(SSOProvider, "_SSO_TOKEN_CACHE_DIR", str(tmp_path))
    lines = ("[profile job]", f"sso_start_url = {start}", "sso_region = r-1", "sso_account_id = 1", "sso_role_name = r")
    (tmp_path / "job.config").write_text("\n".join(lines))
    (tmp_path / "job.keys").write_text("")
    with RawServer(assumed) as right, RawServer(assumed) as wrong:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", wrong.url)
        assert provider({**travelled, "AWS_ENDPOINT_URL_SSO": right.url})._keys() == OF_ROLE
        (asked,) = right.seen
        assert wrong.connections == 0
    assert asked.headers["x-amz-sso_bearer_token"] == "TOKEN-OF-JOB"


@pytest.mark.parametrize("through_role", [False, True])
def test_a_credential_process_gets_the_job_s_variables(
    travelled: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, through_role: bool
) -> None:
    program = tmp_path / "keys.sh"
    keys = '{\\"Version\\": 1, \\"AccessKeyId\\": \\"$AWS_REGION-$AWS_PROFILE\\", \\"SecretAccessKey\\": \\"S\\"}'
    program.write_text(f'#!/bin/sh\necho "{keys}"\n')
    program.chmod(0o700)
    monkeypatch.setenv("AWS_REGION", "of-the-process")
    with RawServer(assumed) as server:
        role_of_the_job(tmp_path)
        (tmp_path / "job.keys").write_text("")
        lines = [(tmp_path / "job.config").read_text(), "[profile base]"] if through_role else ["[profile job]"]
        (tmp_path / "job.config").write_text("\n".join([*lines, f"credential_process = {program}"]))
        named = {"AWS_REGION": "r-1", "AWS_ENDPOINT_URL": server.url}
        found = provider({**travelled, **named})._keys()
        if through_role:
            assert found == OF_ROLE
            assert "Credential=r-1-job/" in server.seen[0].headers["authorization"]
        else:
            assert found.access_key == "r-1-job"


def test_no_proxy_is_used_for_the_instance_role(travelled: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {name: value for name, value in travelled.items() if name not in ("AWS_PROFILE", DISABLED)}
    with RawServer(lambda asked: reply(b"{}")) as metadata, RawServer(lambda asked: reply(b"{}")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with pytest.raises(Authentication, match="AWS chain"):
            provider({**variables, "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.url, "HTTP_PROXY": proxy.url})._keys()
        assert metadata.seen
        assert proxy.connections == 0


def test_certificates_come_from_the_job(
    travelled: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the job sets none, the process's variables are not used either."""
    role_of_the_job(tmp_path)
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, str(tmp_path / "not-there.pem"))
    session = provider({**travelled, "AWS_REGION": "r-1"})._keys._session()
    assert session.create_client("sts", config=None)._endpoint.http_session._verify is True
    (tmp_path / "own.pem").write_text("")
    theirs = provider({**travelled, "AWS_CA_BUNDLE": str(tmp_path / "own.pem")})._keys._session()
    assert theirs.create_client("sts")._endpoint.http_session._verify == str(tmp_path / "own.pem")


def test_an_untrusted_credential_service_is_reported(travelled: dict[str, str], tmp_path: Path) -> None:
    made = Authority(tmp_path, "127.0.0.1", names=("localhost",))
    with RawServer(assumed, tls=made.serving()) as server:
        role_of_the_job(tmp_path, f"endpoint_url = https://localhost:{server.port}")
        with pytest.raises(InvalidConfiguration, match="certificate of AWS's credential service is not trusted"):
            provider({**travelled, "AWS_MAX_ATTEMPTS": "1"})._keys()


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [(403, "AccessDenied", Authentication), (503, "ServiceUnavailable", Transient), (400, "Throttling", Transient)],
)
def test_a_refused_role_is_one_of_our_errors(
    travelled: dict[str, str], tmp_path: Path, status: int, code: str, expected: type[ProviderError]
) -> None:
    body = f"<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>".encode()
    with RawServer(lambda asked: reply(body, status=f"{status} No")) as server:
        role_of_the_job(tmp_path, f"endpoint_url = {server.url}")
        with pytest.raises(expected, match=code):
            provider({**travelled, "AWS_MAX_ATTEMPTS": "1"})._keys()
