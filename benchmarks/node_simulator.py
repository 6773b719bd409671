"""Many chains on this machine that answer what a reader asks out of a rule (`simulated_state`): the reader is measured.

A process of its own: python -m benchmarks.node_simulator '{"chains": 100, "share": 0.05}'. It prints the addresses as
one line of JSON and serves until its standard input closes; then it prints what it served as another. A line of its
input is the time on all chains from then on, in seconds since 1970: their newest block is of that time.
"""

import asyncio
import json
import resource
import sys
import time
from array import array
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import orjson

from benchmarks.simulated_state import SimulatedChain, block_at, time_of, token_numbers

WORD = 32
ADDRESS = 20
MASK = (1 << 256) - 1
GAS = 550_000_000
FIRST_CHAIN_ID = 1_000_000
WINDOW_SECONDS = 1.0
DECIMALS_SELECTOR = "0x313ce567"
TEXT_SELECTORS = ("0x95d89b41", "0x06fdde03")  # symbol, name
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
SENDER = "0x" + f"{1:064x}"


@dataclass
class Chain:
    """What one chain served."""

    chain_id: int
    state: SimulatedChain
    arrivals: "array[float]" = field(default_factory=lambda: array("d"))
    bytes_in: int = 0
    bytes_out: int = 0

    def facts(self) -> dict[str, Any]:
        """Requests, bytes, and the most requests in any second."""
        times = np.array(self.arrivals)
        ends = np.searchsorted(times, times + WINDOW_SECONDS, side="left")
        return {
            "requests": len(times),
            "busiest_second": int((ends - np.arange(len(times))).max(initial=0)),
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
        }


class Simulator:
    """The node of all chains."""

    def __init__(self) -> None:
        self.time = int(time.time())

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
            answered = self._call(chain, params)
            if answered is None:
                error = orjson.dumps({"code": 3, "message": "execution reverted", "data": "0x"})
                return b'{"jsonrpc":"2.0","id":%d,"error":%b}' % (asked["id"], error)
            result = answered
        elif method == "eth_getLogs":
            result = self._logs(chain, params[0])
        elif method == "eth_chainId":
            result = orjson.dumps(hex(chain.chain_id))
        elif method == "eth_blockNumber":
            result = orjson.dumps(hex(block_at(self.time)))
        elif method == "eth_getBlockByNumber":
            number = block_at(self.time) if params[0] in {"latest", "safe", "finalized"} else int(params[0], 16)
            result = orjson.dumps(
                {
                    "number": hex(number),
                    "hash": _hash_of(number),
                    "parentHash": _hash_of(number - 1),
                    "timestamp": hex(time_of(number)),
                }
            )
        elif method == "eth_getCode":
            result = b'"0x01"'
        else:
            error = orjson.dumps({"code": -32601, "message": f"the method {method} does not exist"})
            return b'{"jsonrpc":"2.0","id":%d,"error":%b}' % (asked["id"], error)
        return b'{"jsonrpc":"2.0","id":%d,"result":%b}' % (asked["id"], result)

    def _call(self, chain: Chain, params: list[Any]) -> bytes | None:
        """What a contract returns; None when it reverts."""
        data: str = params[0]["data"]
        if data == DECIMALS_SELECTOR:
            return orjson.dumps(f"0x{18:064x}")
        if data in TEXT_SELECTORS:
            return orjson.dumps("0x" + b"SIM".ljust(WORD, b"\0").hex())
        if len(params) < 3:  # contracts of chains are asked, not programs of ours: they know nothing else
            return None
        if len(data) == 2 + 2 * WORD:  # a probe asks for the complement of a word
            return orjson.dumps(f"0x{int(data, 16) ^ MASK:064x}{GAS:064x}")
        number = int(params[1], 16)
        raw = np.frombuffer(bytes.fromhex(data[2:]), np.uint8)
        count = int.from_bytes(raw[1:3].tobytes(), "big")
        tokens = raw[3 : 3 + ADDRESS * count].reshape(-1, ADDRESS)
        wallets = raw[3 + ADDRESS * count :].reshape(-1, ADDRESS)
        held, numbers = chain.state.holds(wallets, tokens), token_numbers(tokens)
        if raw[0] & 1:
            held = np.hstack([chain.state.holds(wallets, None), held])
            numbers = np.concatenate([np.zeros(1, np.uint64), numbers])
        wallet, column = np.nonzero(held)
        moments = np.full(len(wallet), time_of(number), np.int64)
        high, low = chain.state.amounts(wallets[wallet], numbers[column], moments)
        words = np.zeros((len(wallet), WORD // 8), ">u8")
        words[:, 2], words[:, 3] = high, low
        answer = b"".join(
            [
                number.to_bytes(WORD, "big"),
                time_of(number).to_bytes(WORD, "big"),
                np.packbits(held.ravel()).tobytes(),
                bytes((held.size + 7) // 8),
                words.tobytes(),
            ]
        )
        return b'"0x%b"' % answer.hex().encode()

    def _logs(self, chain: Chain, query: dict[str, Any]) -> bytes:
        topics = query["topics"]
        if len(topics) < 3:  # what wallets sent: nothing
            return b"[]"
        names = topics[2]
        wallets = np.frombuffer(bytes.fromhex("".join([name[26:] for name in names])), np.uint8).reshape(-1, ADDRESS)
        moved = chain.state.transfers(wallets, int(query["fromBlock"], 16), int(query["toBlock"], 16))
        return orjson.dumps(
            [
                {
                    "address": "0x" + token.tobytes().hex(),
                    "topics": [TRANSFER, SENDER, names[place]],
                    "data": f"0x{block:064x}",
                    "blockNumber": hex(block),
                    "blockHash": _hash_of(block),
                    "transactionHash": f"0x{block:024x}{names[place][26:]}",
                    "logIndex": hex(int(names[place][-8:], 16)),
                    "removed": False,
                }
                for block, place, token in moved
            ]
        )


def _hash_of(number: int) -> str:
    return f"0x{number:064x}"


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
    simulator = Simulator()
    numbers = range(FIRST_CHAIN_ID, FIRST_CHAIN_ID + chains)
    served = [Chain(number, SimulatedChain(number, share)) for number in numbers]
    servers = [
        await loop.create_server(lambda chain=chain: Connection(simulator, chain), "127.0.0.1", 0) for chain in served
    ]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    print(json.dumps({chain.chain_id: f"http://127.0.0.1:{port}" for chain, port in zip(served, ports, strict=True)}))
    sys.stdout.flush()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        simulator.time = int(line)
        print("ready", flush=True)
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
