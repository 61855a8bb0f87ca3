"""The rights that the READMEs list match the code, and the messages they quote exist in the program."""

from __future__ import annotations

import ast
import errno
import json
import os
import re
from pathlib import Path

import pytest

import providers
from providers import registry
from providers.backblaze.settings import Settings as B2Settings
from providers.dropbox.oauth import SCOPES

FOLDER = Path(providers.__file__).parent
NEEDS = {
    "ListObjectsV2": "s3:ListBucket",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "GetBucketVersioning": "s3:GetBucketVersioning",
    "HeadObject": "s3:GetObject",
    "GetObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "DeleteObject": "s3:DeleteObject",
    "DeleteObjects": "s3:DeleteObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "ListParts": "s3:ListMultipartUploadParts",
    "ListBuckets": "s3:ListAllMyBuckets",
    "CreateBucket": "s3:CreateBucket",
}
"""AWS: https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html"""

B2_NEEDS = {
    "b2_list_buckets": "listBuckets",
    **dict.fromkeys(("b2_list_file_names", "b2_list_file_versions", "b2_list_unfinished_large_files"), "listFiles"),
    **dict.fromkeys(("b2_download_file_by_name", "b2_get_file_info"), "readFiles"),
    **dict.fromkeys(
        ("b2_get_upload_url", "b2_upload_file", "b2_start_large_file", "b2_get_upload_part_url", "b2_upload_part"),
        "writeFiles",
    ),
    **dict.fromkeys(("b2_finish_large_file", "b2_cancel_large_file", "b2_hide_file", "b2_list_parts"), "writeFiles"),
    "b2_delete_file_version": "deleteFiles",
}
"""Backblaze: https://www.backblaze.com/docs/cloud-storage-application-key-capabilities"""

SERVICES_OWN = ("Sha1 did not match data received", "Service Accounts do not have storage quota")
"""Messages in the service's own words."""


def readme(service: str) -> str:
    return (FOLDER / service / "README.md").read_text()


def texts(service: str) -> str:
    """All texts in the code that concerns a service."""
    found: list[str] = []
    of_all = [path for path in FOLDER.rglob("*.py") if not (path.parent / "README.md").exists()]
    queueing = FOLDER.parent / "backup/queue/environment.py"  # refuses jobs that need secrets from the environment
    for path in [*of_all, *(FOLDER / service).glob("*.py"), queueing]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def test_the_s3_policy_allows_what_the_code_calls_and_no_more():
    kinds = set()
    for path in (FOLDER / "aws_s3").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "S3Request":
                kinds.add(ast.literal_eval(node.args[0]))
    assert kinds == set(NEEDS)
    block = re.search(r"```json\n(.*?)```", readme("aws_s3"), re.DOTALL)
    assert block
    statements = json.loads(block[1])["Statement"]
    on_bucket, on_objects = (set(each["Action"]) for each in statements)
    setting_up = {"s3:ListAllMyBuckets", "s3:CreateBucket"}
    assert on_bucket | on_objects == set(NEEDS.values()) - setting_up
    assert all(f"`{action}`" in readme("aws_s3") for action in setting_up)
    assert [each["Resource"].endswith("/*") for each in statements] == [False, True]
    assert on_objects == {action for action in on_bucket | on_objects if action.endswith(("Object", "Upload", "Parts"))}


def test_the_b2_key_has_the_required_capabilities():
    command = re.search(r"b2 key create --bucket \S+ \S+ (\S+)", readme("backblaze"))
    assert command
    setting_up = {"b2_authorize_account", "b2_create_bucket"}
    assert {B2_NEEDS[call] for call in B2Settings.price_classes.keys() - setting_up} == set(command[1].split(","))


def test_the_dropbox_permissions_are_those_requested():
    step = re.search(r"^2\. Tab \*\*Permissions\*\*.*?^3\. ", readme("dropbox"), re.DOTALL | re.MULTILINE)
    assert step
    assert set(re.findall(r"`(\w+\.\w+(?:\.\w+)?)`", step[0])) == set(SCOPES)


@pytest.mark.parametrize("service", registry.EMBEDDED)
def test_messages_quoted_in_troubleshooting_exist_in_the_program(service):
    """Each piece of a quoted message between `…` is in the code or is a system message; a code in brackets is the
    service's own."""
    section = readme(service).partition("## Troubleshooting")[2].partition("\n## ")[0]
    code_texts = texts(service) + "\n".join(map(os.strerror, errno.errorcode)) + "".join(SERVICES_OWN)
    missing: list[str] = []
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    for quoted in (quote for row in rows for quote in re.findall(r"`([^`]+)`", row.split(" | ")[0])):
        pieces = [piece.strip(" :,") for piece in re.split(r"…|\(\w+\)", quoted)]
        missing += [piece for piece in pieces if len(piece) > 3 and piece not in code_texts]
    assert len(rows) > 4
    assert missing == []
