"""Ask Ray's services on some ports of a machine, with a token or without; print what they answer as JSON.

``knock.py ADDRESS TOKEN PORT...``; an empty TOKEN sends none.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc

CALLS = (
    "ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
    "ray.rpc.InternalKVGcsService/InternalKVKeys",
    "ray.rpc.NodeManagerService/GetNodeStats",
    "ray.rpc.CoreWorkerService/GetCoreWorkerStats",
    "ray.rpc.ObjectManagerService/Pull",
    "ray.rpc.LogService/ListLogs",
    "ray.rpc.RayletDriver/ClusterInfo",
)
_SECONDS = 10.0


def answer(address: str, token: str, call: str) -> str:
    """The name of the status that a call with an empty message gets."""
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    with grpc.insecure_channel(address) as channel:
        ask = channel.unary_unary(f"/{call}")
        try:
            ask(b"", timeout=_SECONDS, metadata=metadata)
        except grpc.RpcError as error:
            return str(error.code().name)
        return "OK"


def main() -> None:
    """Answers by port and call."""
    address, token, *ports = sys.argv[1:]
    asked = [(port, call) for port in ports for call in CALLS]
    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda ask: answer(f"{address}:{ask[0]}", token, ask[1]), asked)
    found: dict[str, dict[str, str]] = {port: {} for port in ports}
    for (port, call), said in zip(asked, answers, strict=True):
        found[port][call] = said
    print(json.dumps(found))


main()
