"""Places as written by journals before version 5, which included the id of the key, converted to today's form."""

from __future__ import annotations

import re
from typing import Final

from providers.http.addresses import aws_partition, normal_address

_S3: Final = re.compile(r"aws_s3 (?P<where>.*?) bucket=(?P<bucket>\S*)(?: prefix=(?P<prefix>.*/))? id=.*", re.DOTALL)
_B2: Final = re.compile(r"backblaze (?P<where>\S+) bucket=(?P<bucket>\S*)(?: prefix=(?P<prefix>.*/))? id=.*", re.DOTALL)
_DROPBOX: Final = re.compile(
    r"dropbox (?P<where>\S+) app=(?P<app>\S*)(?: account=(?P<account>\S+))? folder=(?P<folder>.*)", re.DOTALL
)
_DRIVE: Final = re.compile(
    r"google_drive(?: (?P<where>\S+))? of (?P<who>.*?): (?P<drive>My Drive|shared drive \S+) folder=(?P<folder>.*)",
    re.DOTALL,
)
_GUIDE: Final = re.compile(r"(?!google_drive: )(?P<name>[a-z0-9_-]+):(?:.*@)?(?P<container>.*)", re.DOTALL)


def place_of(former: str) -> str:
    """Convert a former `Storage.location` to `Storage.place`; text of neither form is returned unchanged."""
    if found := _S3.fullmatch(former):
        where = found["where"]
        region = where.removeprefix("AWS ") if where.startswith("AWS ") else None
        address = "" if region is not None else where
        named = aws_partition(address, region or "") or normal_address(address)
        return f"aws_s3 {named} bucket={found['bucket']} prefix={found['prefix'] or ''}"
    if found := _B2.fullmatch(former):
        return f"backblaze {normal_address(found['where'])} bucket={found['bucket']} prefix={found['prefix'] or ''}"
    if found := _DROPBOX.fullmatch(former):
        where = "Dropbox" if found["where"] == "Dropbox" else normal_address(found["where"])
        return f"dropbox {where} folder={found['folder']}"
    if found := _DRIVE.fullmatch(former):
        where = f" {normal_address(found['where'])}" if found["where"] else ""
        return f"google_drive{where}: {found['drive']} folder={found['folder']}"
    if found := _GUIDE.fullmatch(former):
        return f"{found['name']}:{found['container']} prefix="
    return former


def account_of(former: str) -> str:
    """The account named in a former location, in the form of `Storage.account`; '' if none."""
    if found := _DROPBOX.fullmatch(former):
        return f"{found['account'] or ''} app={found['app']} root= folder="
    if (found := _DRIVE.fullmatch(former)) and found["drive"] == "My Drive" and "@" in found["who"]:
        return found["who"].casefold()
    return ""
