"""A batch delete counts only the objects of which the server says that they are gone."""

from __future__ import annotations

import pytest

from providers.errors import ProviderError
from tests.providers.s3_stub import error, stub

ALL = "<Deleted><Key>a</Key></Deleted><Deleted><Key>b</Key></Deleted>"
PAGE = "<!DOCTYPE html><html><body>It works!</body></html>"
FAILURE = "<Error><Code>InternalError</Code><Message>We are sorry</Message></Error>"


def removing(reply: str, *, there: frozenset[str] = frozenset({"a", "b"}), status: int = 200):
    """What becomes of a and b when the batch is answered so, and what was then deleted one by one."""
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


def test_all_accounted_for():
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
def test_an_answer_that_is_not_of_this_request_deletes_nothing(reply, kinds):
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
def test_what_the_answer_leaves_open_is_deleted_by_itself(reply):
    """A key that is missing, or both deleted and failed."""
    assert removing(f"<DeleteResult>{reply}</DeleteResult>") == ({}, ["b"])


def test_what_the_answer_leaves_open_and_is_gone_was_deleted():
    assert removing("<DeleteResult></DeleteResult>", there=frozenset()) == ({}, ["a", "b"])


def test_a_single_delete_that_is_answered_with_an_error_is_none():
    def answer(method, path, headers, body):
        return (200, {"ETag": '"e"'}, b"") if method == "HEAD" else error(200, "AccessDenied")

    with stub(answer) as server, pytest.raises(ProviderError) as caught:
        server.provider().remove("x")
    assert caught.value.kind == "permission"
