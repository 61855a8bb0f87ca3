"""Loopback redirect: receives the browser's request with the authorisation, possibly through an ssh tunnel."""

from __future__ import annotations

import getpass
import shlex
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

_REQUEST_S: Final = 2.0
_LONGEST_REQUEST: Final = 16 * 1024


def tunnel(port: int, environment: Mapping[str, str]) -> str:
    """The ssh command that forwards `port` from the browser's machine to this one, as far as its host name is known."""
    connection = environment.get("SSH_CONNECTION", "").split()
    host, ssh_port = (connection[2], connection[3]) if len(connection) == 4 else (socket.gethostname(), "22")
    way = "" if ssh_port == "22" else f"-p {shlex.quote(ssh_port)} "
    return f"ssh -N -L {port}:127.0.0.1:{port} {way}{shlex.quote(f'{getpass.getuser()}@{host}')}"


def request_target(connection: socket.socket) -> str:
    """The path of a GET request; '' for anything else. Waits only briefly for a silent client."""
    connection.settimeout(_REQUEST_S)
    head = b""
    with suppress(OSError):
        while b"\r\n\r\n" not in head and len(head) < _LONGEST_REQUEST:
            data = connection.recv(4096)
            if not data:
                break
            head += data
    words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    return words[1] if len(words) == 3 and words[0] == "GET" else ""


def respond(connection: socket.socket, *, ours: bool) -> None:
    text = "Authorisation received. Go back to the backup console." if ours else "No authorisation is expected here."
    body = f"<!doctype html><meta charset=utf-8><title>HOMESERVER Backup</title><p>{text}</p>".encode()
    status = "200 OK" if ours else "404 Not Found"
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nConnection: close\r\n\r\n"
    )
    with suppress(OSError):
        connection.sendall(head.encode() + body)
