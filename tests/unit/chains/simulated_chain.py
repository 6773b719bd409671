"""A chain in memory that answers like a node, and refuses log ranges in the manner of a provider."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portfolio_pipelines.chains.discovery import TRANSFER
from portfolio_pipelines.chains.rpc.answers import NodeError
from portfolio_pipelines.chains.rpc.classification import Where, error_of
from portfolio_pipelines.chains.rpc.errors import RpcError, StateUnavailable
from portfolio_pipelines.chains.rpc.node import Block
from portfolio_pipelines.chains.rpc.questions import Question

Log = dict[str, Any]
# First block, last block, wallets named, logs found -> what the provider says instead, or nothing.
Refusal = Callable[[int, int, int, int], NodeError | None]


def address(number: int) -> str:
    return f"0x{number:040x}"


def addresses(numbers: Sequence[int]) -> NDArray[np.uint8]:
    joined = b"".join(number.to_bytes(20) for number in numbers)
    return np.frombuffer(joined, dtype=np.uint8).reshape(-1, 20)


def topic(value: str | int) -> str:
    return f"0x{int(value, 16) if isinstance(value, str) else value:064x}"


class SimulatedChain:
    """`branch` names the branch of the chain from a block on, so a reorganisation is one more entry in `branches`."""

    def __init__(self, timestamps: Sequence[int], refusal: Refusal | None = None) -> None:
        self.chain_id, self.name = 1, "simulated"
        self.timestamps = timestamps
        self.branches: list[tuple[int, str]] = [(0, "a")]
        self.logs: dict[int, list[Log]] = {}
        self.refusal = refusal
        self.asked: list[tuple[int, int, str]] = []  # first block, last block, what else was asked
        self.refused: list[tuple[int, int, str]] = []
        self.blocks_read = 0
        self.before_logs: Callable[[], None] | None = None
        self.contracts: Mapping[tuple[str, str], str | RpcError] = {}

    # What tests do to it

    def reorganise(self, first_block: int, branch: str) -> None:
        """Replace the blocks from this one on; their logs are gone."""
        self.branches.append((first_block, branch))
        self.logs = {number: logs for number, logs in self.logs.items() if number < first_block}

    def transfer(
        self, block: int, token: str, sender: str, receiver: str, amount: int, *, data: str | None = None
    ) -> Log:
        """Add a log in the form of an ERC-20."""
        return self.log(block, token, [TRANSFER, topic(sender), topic(receiver)], data or topic(amount))

    def log(self, block: int, token: str, topics: list[str], data: str) -> Log:
        logs = self.logs.setdefault(block, [])
        entry = {
            "address": token,
            "topics": topics,
            "data": data,
            "blockNumber": hex(block),
            "transactionHash": "0x" + sha256(f"{block}/{len(logs)}".encode()).hexdigest(),
            "logIndex": hex(len(logs)),
            "removed": False,
        }
        logs.append(entry)
        return entry

    def head(self) -> Block:
        return self.block_of(len(self.timestamps) - 1)

    def block_of(self, number: int) -> Block:
        return Block(number, self.hash_of(number), self.timestamps[number], self.hash_of(number - 1))

    def hash_of(self, number: int) -> str:
        branches = [branch for first, branch in self.branches if first <= number]
        return "0x" + sha256(f"{number} {branches}".encode()).hexdigest()

    # What readers see of it

    async def block(self, number: int | None = None) -> Block:
        self.blocks_read += 1
        if number is None:
            return self.head()
        if not 0 <= number < len(self.timestamps):
            raise StateUnavailable(self.name, "memory", f"no block {number}")
        return self.block_of(number)

    async def request(self, method: str, params: Sequence[Any]) -> Any:
        if method == "eth_getLogs":
            return self._logs(params[0])
        if method == "eth_getBlockByNumber":
            number = int(params[0], 16)
            return self._json(self.block_of(number)) if number < len(self.timestamps) else None
        if method == "eth_getBlockByHash":
            found = [n for n in range(len(self.timestamps)) if self.hash_of(n) == params[0]]
            return self._json(self.block_of(found[0])) if found else None
        key = (params[0], "code") if method == "eth_getCode" else (params[0]["to"], params[0]["data"])
        answer = self.contracts.get(key, "0x")
        if isinstance(answer, RpcError):
            raise answer
        return answer

    async def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        results: list[Any] = []
        for method, params in requests:
            try:
                results.append(await self.request(method, params))
            except RpcError as error:
                results.append(error)
        return results

    async def eth_call(self, to: str | None, data: bytes, block: int, **_: object) -> bytes:
        return bytes.fromhex((await self.request("eth_call", [{"to": to, "data": "0x" + data.hex()}, hex(block)]))[2:])

    def _json(self, block: Block) -> dict[str, str]:
        return {
            "number": hex(block.number),
            "hash": block.hash,
            "timestamp": hex(block.timestamp),
            "parentHash": block.parent_hash,
        }

    def _logs(self, query: Mapping[str, Any]) -> list[Log]:
        if self.before_logs:
            self.before_logs()
        first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        filters = [frozenset(wanted) if wanted else None for wanted in query["topics"]]
        question = (first, last, str(hash(tuple(filters))))
        self.asked.append(question)
        found = [
            log | {"blockHash": log.get("blockHash", self.hash_of(number))}
            for number, logs in sorted(self.logs.items())
            if first <= number <= last
            for log in logs
            if len(log["topics"]) >= len(filters)
            and all(wanted is None or got in wanted for wanted, got in zip(filters, log["topics"], strict=False))
        ]
        error = self.refusal(first, last, len(filters[-1] or ()), len(found)) if self.refusal else None
        if error is None:
            return found
        self.refused.append(question)
        raise error_of(Where(self.name, "memory"), error, Question("eth_getLogs", [query]))
