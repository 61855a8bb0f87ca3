"""A batch delete counts only objects that the server reports as deleted."""

from __future__ import annotations

import pytest

from providers.errors import ProviderError
from tests.providers.s3_stub import error, stub

ALL = "<Deleted><Key>a</Key></Deleted><Deleted><Key>b</Key></Deleted>"
PAGE = "<!DOCTYPE html><html><body>It works!</body></html>"
FAILURE = "<Error><Code>InternalError</Code><Message>We are sorry</Message></Error>"


def removing(reply: str, *, there: frozenset[str] = frozenset({"a", "b"}), status: int = 200):
    """The results for a and b after this answer to the batch, and the keys then deleted one by one."""
    left = set(there)
    singly = []

    def answer(method, path, headers, body):
        key = path.rpartition("/")[2]
        if method == "POST":
            return status, {}, reply.encode()
        if method == "HEAD":
            return (200, {"ETag": '"e"'}, b"") if key in left else (404, {}, b"")
        if method == "DELETE":
            left.discard(key)
            singly.append(key)
            return 204, {}, b""
        return 200, {}, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"

    with stub(answer) as server:
        failed = server.provider().remove_many(["a", "b"])
    return {key: each.kind for key, each in failed.items()}, singly


def test_a_result_for_each_key():
    assert removing(f"<DeleteResult>{ALL}</DeleteResult>") == ({}, [])


@pytest.mark.parametrize(
    ("reply", "kinds"),
    [
        (FAILURE, {"a": "transient", "b": "transient"}),
        (PAGE, {"a": "configuration", "b": "configuration"}),
        ("", {"a": "configuration", "b": "configuration"}),
        ("{}", {"a": "configuration", "b": "configuration"}),
        (f"<ListBucketResult>{ALL}</ListBucketResult>", {"a": "configuration", "b": "configuration"}),
        (f"<deleteresult>{ALL}</deleteresult>", {"a": "configuration", "b": "configuration"}),
        (f"<DeleteResult>{ALL}", {"a": "integrity", "b": "integrity"}),
        (f"<DeleteResult>{ALL}<Deleted><Key>c</Key></Deleted></DeleteResult>", {"a": "integrity", "b": "integrity"}),
        (
            f"<DeleteResult>{ALL}<Error><Key>c</Key><Code>AccessDenied</Code></Error></DeleteResult>",
            {"a": "integrity", "b": "integrity"},
        ),
    ],
)
def test_an_answer_to_another_request_is_rejected(reply, kinds):
    assert removing(reply) == (kinds, [])


@pytest.mark.parametrize(
    "reply",
    [
        "<Deleted><Key>a</Key></Deleted>",
        "<Deleted><Key>a</Key></Deleted><Deleted></Deleted>",
        "<Deleted><Key>a</Key></Deleted><Error><Code>AccessDenied</Code></Error>",
        f"{ALL}<Error><Key>b</Key><Code>AccessDenied</Code><Message>No</Message></Error>",
    ],
)
def test_keys_without_a_result_are_deleted_one_by_one(reply):
    """A key that is missing from the answer, or both deleted and failed."""
    assert removing(f"<DeleteResult>{reply}</DeleteResult>") == ({}, ["b"])


def test_a_missing_object_without_a_result_counts_as_deleted():
    assert removing("<DeleteResult></DeleteResult>", there=frozenset()) == ({}, ["a", "b"])


def test_a_single_delete_answered_with_an_error_is_a_failure():
    def answer(method, path, headers, body):
        return (200, {"ETag": '"e"'}, b"") if method == "HEAD" else error(200, "AccessDenied")

    with stub(answer) as server, pytest.raises(ProviderError) as caught:
        server.provider().remove("x")
    assert caught.value.kind == "permission"
