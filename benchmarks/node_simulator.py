"""Many chains on this machine that answer the reader's call with prepared bytes: what is measured is the reader.

A process of its own: python -m benchmarks.node_simulator '{"chains": 100, "share": 0.05}'. It prints the addresses as
one line of JSON, serves until its standard input closes, and prints what it served as another.

Answers have the right form and are made once for each size of a question: `VARIANTS` of them, chosen by the first
wallet. The first and the last wallet of each answer hold nothing, as the reader asks there for addresses of nobody.
"""

import asyncio
import json
import resource
import sys
import time
from array import array
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import numpy as np
import orjson

VARIANTS = 16
BLOCK_NUMBER = 20_000_000
WORD = 32
MASK = (1 << 256) - 1
LARGEST_AMOUNT_BYTES = 11  # amounts below 3 * 10^26
GAS = 550_000_000
FIRST_CHAIN_ID = 1_000_000
WINDOW_SECONDS = 1.0


@dataclass
class Chain:
    """What one chain served."""

    chain_id: int
    arrivals: "array[float]" = field(default_factory=lambda: array("d"))
    served: dict[str, tuple[int, int]] = field(default_factory=dict)  # by first wallet: balances and their sum
    bytes_in: int = 0
    bytes_out: int = 0

    def facts(self) -> dict[str, Any]:
        """Calls, balances that are not zero and their sum, bytes, and the most requests in any second."""
        times = np.array(self.arrivals)
        ends = np.searchsorted(times, times + WINDOW_SECONDS, side="left")
        return {
            "requests": len(times),
            "busiest_second": int((ends - np.arange(len(times))).max(initial=0)),
            "balances": sum(count for count, _ in self.served.values()),
            "sum": str(sum(amount for _, amount in self.served.values())),
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
        }


class Simulator:
    """The node of all chains.

    Args:
        share: Part of the balances that is not zero.
    """

    def __init__(self, share: float) -> None:
        self.time = int(time.time()) - 1
        self.share = share
        self.prepared = cache(self._prepared)

    def answer(self, chain: Chain, body: bytes) -> bytes:
        """The body of the answer to a body."""
        chain.arrivals.append(time.monotonic())
        asked = orjson.loads(body)
        if isinstance(asked, list):
            return b"[" + b",".join(self._one(chain, one) for one in asked) + b"]"
        return self._one(chain, asked)

    def _one(self, chain: Chain, asked: dict[str, Any]) -> bytes:
        method, params = asked["method"], asked["params"]
        if method == "eth_call":
            result = self._call(chain, params)
        elif method == "eth_chainId":
            result = orjson.dumps(hex(chain.chain_id))
        elif method == "eth_blockNumber":
            result = orjson.dumps(hex(BLOCK_NUMBER))
        elif method == "eth_getBlockByNumber":
            number = BLOCK_NUMBER if params[0] in {"latest", "safe", "finalized"} else int(params[0], 16)
            result = orjson.dumps(
                {
                    "number": hex(number),
                    "hash": f"0x{number:064x}",
                    "parentHash": f"0x{number - 1:064x}",
                    "timestamp": hex(self.time - (BLOCK_NUMBER - number)),
                }
            )
        else:
            error = orjson.dumps({"code": -32601, "message": f"the method {method} does not exist"})
            return b'{"jsonrpc":"2.0","id":%d,"error":%b}' % (asked["id"], error)
        return b'{"jsonrpc":"2.0","id":%d,"result":%b}' % (asked["id"], result)

    def _call(self, chain: Chain, params: list[Any]) -> bytes:
        data: str = params[0]["data"]
        if len(data) == 2 + 2 * WORD:  # a probe asks for the complement of a word
            return orjson.dumps(f"0x{int(data, 16) ^ MASK:064x}{GAS:064x}")
        tokens = int(data[4:8], 16)
        columns = tokens + (int(data[2:4], 16) & 1)
        wallets = (len(data) - 8) // 40 - tokens
        first = data[8 + 40 * tokens :][:40]
        text, balances, amount = self.prepared(wallets, columns, int(first[:8], 16) % VARIANTS)
        chain.served[first] = balances, amount
        return text

    def _prepared(self, wallets: int, columns: int, variant: int) -> tuple[bytes, int, int]:
        rng = np.random.default_rng([wallets, columns, variant])
        pairs = wallets * columns
        inner = np.arange(columns, max(columns, pairs - columns))
        chosen = np.sort(rng.choice(inner, min(len(inner), round(pairs * self.share)), replace=False))
        not_zero = np.zeros(pairs, bool)
        not_zero[chosen] = True
        words = np.zeros((len(chosen), WORD), np.uint8)
        words[:, WORD - LARGEST_AMOUNT_BYTES :] = rng.integers(0, 256, (len(chosen), LARGEST_AMOUNT_BYTES))
        words[:, -1] |= 1
        answer = b"".join(
            [
                BLOCK_NUMBER.to_bytes(WORD, "big"),
                self.time.to_bytes(WORD, "big"),
                np.packbits(not_zero).tobytes(),
                bytes((pairs + 7) // 8),
                words.tobytes(),
            ]
        )
        amount = sum(int.from_bytes(word.tobytes(), "big") for word in words)
        return orjson.dumps("0x" + answer.hex()), len(chosen), amount


class Connection(asyncio.Protocol):
    """HTTP/1.1 with kept connections and bodies of known length: as much of it as clients of nodes use."""

    def __init__(self, simulator: Simulator, chain: Chain) -> None:
        self.simulator, self.chain = simulator, chain
        self.received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self.transport = cast(asyncio.Transport, transport)  # that of uvloop is one in all but name

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.received[:end]).lower()
            length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            if len(self.received) < end + 4 + length:
                return
            body = bytes(self.received[end + 4 : end + 4 + length])
            del self.received[: end + 4 + length]
            answer = self.simulator.answer(self.chain, body)
            self.chain.bytes_in += end + 4 + length
            self.chain.bytes_out += len(answer)
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer)
                + answer
            )


async def serve(chains: int, share: float) -> None:
    """Serve until standard input closes."""
    loop = asyncio.get_running_loop()
    simulator = Simulator(share)
    served = [Chain(FIRST_CHAIN_ID + number) for number in range(chains)]
    servers = [
        await loop.create_server(lambda chain=chain: Connection(simulator, chain), "127.0.0.1", 0) for chain in served
    ]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    print(json.dumps({chain.chain_id: f"http://127.0.0.1:{port}" for chain, port in zip(served, ports, strict=True)}))
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)
    for server in servers:
        server.close()
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "cpu_seconds": used.ru_utime + used.ru_stime,
                "peak_gb": used.ru_maxrss / 1e6,
                "chains": {chain.chain_id: chain.facts() for chain in served},
            }
        )
    )
    sys.stdout.flush()


def main() -> None:
    """Serve as the argument says."""
    try:
        import uvloop
    except ImportError:  # Windows has none
        run = asyncio.run
    else:
        run = uvloop.run
    run(serve(**json.loads(sys.argv[1])))


if __name__ == "__main__":
    main()
