"""Functions that tests need of the B2 server beyond the API: buckets, keys, direct access, damage."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Final

from tests.servers.b2_service import Json, Service
from tests.servers.b2_simulator import LIMITED_CAPABILITIES


def _new_bucket(service: Service, args: Json) -> Json:
    with service.lock:
        sim = service.sim
        number = next(sim.bucket_id_counter)
        name = f"test-bucket-{number}"
        authorization = sim.authorize_account("", sim.account_id, sim.key_id_to_key[sim.account_id].key)
        sim.create_bucket(sim.API_URL, authorization["authorizationToken"], sim.account_id, name, "allPrivate")
        return {"bucket": name, **_key(service, {"bucket": name})}


def _key(service: Service, args: Json) -> Json:
    with service.lock:
        buckets = [args["bucket"]] if args.get("bucket") else None
        capabilities = args.get("capabilities") or list(LIMITED_CAPABILITIES)
        key_id, key = service.sim.new_key("limited", capabilities, "", buckets, args.get("prefix") or "")
        return {"key_id": key_id, "key": key}


def _master(service: Service, args: Json) -> Json:
    account = service.sim.account_id
    return {"key_id": account, "key": service.sim.key_id_to_key[account].key}


def _expire_tokens(service: Service, args: Json) -> Json:
    with service.lock:
        service.sim.expired_auth_tokens |= set(service.sim.auth_token_to_key)
        service.uploads.clear()
    return {}


def _plant(service: Service, args: Json) -> Json:
    with service.lock:
        bucket = service.sim.bucket_named(args["bucket"])
        for name, data in args.get("objects", {}).items():
            service.sim.add(bucket, name, base64.b64decode(data))
        for number in range(args.get("count", 0)):
            service.sim.add(bucket, f"{args['prefix']}{number:06}", b"x")
    return {}


def _versions(service: Service, args: Json) -> Json:
    """[name, action, file info, sha-1] of every version, newest first within a name."""
    with service.lock:
        files = service.sim.bucket_named(args["bucket"]).file_name_and_id_to_file
        found = [(file.name, file.action, file.file_info, file.content_sha1) for _, file in sorted(files.items())]
        return {"versions": found}


def _forget_uploads(service: Service, args: Json) -> Json:
    with service.lock:
        bucket = service.sim.bucket_named(args["bucket"])
        for file_id in [file.file_id for file in bucket.file_id_to_file.values() if file.action == "start"]:
            bucket.cancel_large_file(file_id)
    return {}


def _damage(service: Service, args: Json) -> Json:
    with service.lock:
        file = service.sim.bucket_named(args["bucket"]).visible(args["name"])
        file.data_bytes = bytes([file.data_bytes[0] ^ 0xFF]) + file.data_bytes[1:]
    return {}


CALLS: Final[dict[str, Callable[[Service, Json], Json]]] = {
    "/test/new_bucket": _new_bucket,
    "/test/key": _key,
    "/test/master": _master,
    "/test/expire_tokens": _expire_tokens,
    "/test/plant": _plant,
    "/test/versions": _versions,
    "/test/forget_uploads": _forget_uploads,
    "/test/damage": _damage,
}
