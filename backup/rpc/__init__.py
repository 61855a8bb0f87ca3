"""The only message framing between our processes: JSON lines with request ids, over a Unix socket.

    request  {"id": 7, "method": "list_page", "params": {...}}       "$cancel" with {"id": 7} cancels request 7
    event    {"id": 7, "event": ...}                                  any number of them, while request 7 is under way
    reply    {"id": 7, "result": ...}  or  {"id": 7, "error": {"kind", "message", "hint", "code"}}

`Server` answers (handlers run in threads, several at once), `Client` sends requests, from any thread. Errors are sent
as `providers.contract.report.ErrorInfo` and raised again as the same class. Every call has a time limit.
"""

from backup.rpc.client import Client
from backup.rpc.framing import MAX_LINE_BYTES, ConnectionLost, TimedOut
from backup.rpc.server import Handler, RpcCall, Server

__all__ = ["MAX_LINE_BYTES", "Client", "ConnectionLost", "Handler", "RpcCall", "Server", "TimedOut"]
