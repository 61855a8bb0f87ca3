"""Deletion of files: hiding them, or removing every version."""

from __future__ import annotations

from typing import Any, Final

from providers.backblaze.client import Account
from providers.backblaze.errors import as_documented
from providers.contract.listing import Trail
from providers.contract.objects import not_deleted
from providers.errors import NotFound

_VERSIONS_A_PAGE: Final = 1000


def hide(account: Account, name: str) -> None:
    """Hide the file from listings; its versions stay. Raises NotFound if it is not listed."""
    with account.session() as session:
        answer = session.hide_file(account.bucket_id, name)
    if not confirms(answer, fileName=name, action="hide"):
        raise not_deleted(name)


def delete_all(account: Account, name: str) -> None:
    """Delete every version and hide marker, the newest last, so that no older one becomes visible. Raises NotFound if
    the file is not listed."""
    versions = _versions(account, name)
    if not versions or versions[0]["action"] != "upload":
        raise NotFound(f"{name}: there is no such object", code="file_not_present")
    for version in reversed(versions):
        with as_documented():
            file_id = str(version["fileId"])
        delete_version(account, file_id, name)


def delete_version(account: Account, file_id: str, name: str) -> None:
    with account.session() as session:
        answer = session.delete_file_version(file_id, name)
    if not confirms(answer, fileName=name, fileId=file_id):
        raise not_deleted(name)


def confirms(answer: object, **expected: str) -> bool:
    """True if the answer has the documented form and matches the request."""
    return isinstance(answer, dict) and all(answer.get(name) == value for name, value in expected.items())


def _versions(account: Account, name: str) -> list[dict[str, Any]]:
    """Newest first, without unfinished uploads."""
    found: list[dict[str, Any]] = []
    start_name: str | None = name
    start_id: str | None = None
    trail = Trail()
    while True:
        with account.session() as session:
            answer = session.list_file_versions(account.bucket_id, start_name, start_id, _VERSIONS_A_PAGE, name)
            found += [item for item in answer["files"] if item["fileName"] == name and item["action"] != "start"]
        start_name, start_id = answer.get("nextFileName"), answer.get("nextFileId")
        if start_name != name:
            return found
        trail = trail.step(str(start_id), brought=bool(answer["files"]))
