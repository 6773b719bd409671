"""A chain in memory, written a second time and slowly: what the reader is compared with.

Its program of the reader, its Multicall3 (through eth_abi) and its single calls all answer from one dictionary.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from eth_abi.abi import decode, encode

from portfolio_pipelines.chains.reader.balances import Balances
from portfolio_pipelines.chains.reader.program import reader_program
from portfolio_pipelines.chains.rpc.errors import Reverted, RpcError, TooMuch, Unsupported
from portfolio_pipelines.chains.rpc.node import ANSWERED_BY, Block

BLOCK = Block(1_000, "0x" + "ab" * 32, 1_700_000_000)
MULTICALL = "0x" + "ca" * 20
NATIVE = bytes(20)
ENDPOINT = "node.example"


def address(number: int) -> bytes:
    return number.to_bytes(20, "big")


def addresses(*rows: bytes) -> np.ndarray:
    return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 20)


def program_answer(
    question: bytes, balance: Callable[[bytes, bytes], int | None], number: int, timestamp: int
) -> bytes:
    """What the program answers, one pair after the other; `balance` gives None for a failed pair."""
    count = int.from_bytes(question[1:3], "big")
    rest = [question[at : at + 20] for at in range(3, len(question), 20)]
    tokens, wallets = rest[:count], rest[count:]
    columns = [NATIVE] * (question[0] & 1) + tokens
    values = [balance(token, wallet) for wallet in wallets for token in columns]
    return (
        number.to_bytes(32, "big")
        + timestamp.to_bytes(32, "big")
        + _bitmap([bool(value) for value in values])
        + _bitmap([value is None for value in values])
        + b"".join(value.to_bytes(32, "big") for value in values if value)
    )


def _bitmap(flags: list[bool]) -> bytes:
    text = "".join("1" if flag else "0" for flag in flags)
    text = text.ljust(-(-len(text) // 8) * 8, "0")
    return bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))


@dataclass
class ModelNode:
    """A node of that chain.

    Args:
        held: Balances by (token, wallet); NATIVE is the native coin, None a pair whose token reverts.
        refuse: Names of what it does not do: "override", "deployless", "revert data", "multicall".
        largest: Pairs that a call may have at most.
        everybody: Tokens that claim this balance for every address.
        spoil: Changes what a call of the reader's program or of Multicall3 answers.
    """

    held: Mapping[tuple[bytes, bytes], int | None]
    refuse: frozenset[str] = frozenset()
    largest: int = 1_000_000
    everybody: Mapping[bytes, int] = field(default_factory=dict)
    spoil: Callable[[bytes], bytes] = bytes
    pairs_of_calls: list[int] = field(default_factory=list)
    number: int = BLOCK.number

    chain_id = 1
    name = "ethereum"

    def balance(self, token: bytes, wallet: bytes) -> int | None:
        if (token, wallet) in self.held:
            return self.held[token, wallet]
        return self.everybody.get(token, 0)

    async def request(self, method: str, params: Sequence[Any]) -> Any:
        (result,) = await self.batch([(method, params)])
        if isinstance(result, RpcError):
            raise result
        return result

    async def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        ANSWERED_BY.set(ENDPOINT)
        return [self._single(method, params) for method, params in requests]

    def _single(self, method: str, params: Sequence[Any]) -> Any:
        if method == "eth_getBalance":
            return hex(self.balance(NATIVE, bytes.fromhex(params[0][2:])) or 0)
        call = params[0]
        value = self.balance(bytes.fromhex(call["to"][2:]), bytes.fromhex(call["data"][-40:]))
        if value is None:
            return Reverted(self.name, ENDPOINT, "execution reverted")
        return "0x" + value.to_bytes(32, "big").hex()

    async def eth_call(
        self,
        to: str | None,
        data: bytes,
        block: int,  # noqa: ARG002 (there is one block)
        *,
        code: Mapping[str, bytes] | None = None,
        gas: int | None = None,  # noqa: ARG002 (and gas for everything)
    ) -> bytes:
        ANSWERED_BY.set(ENDPOINT)
        if code:
            return self._program(data, "override")
        if to is None:
            program = reader_program()
            assert data.startswith(program)
            by_revert = bool(data[len(program)] & 2)
            answer = self._program(data[len(program) :], "deployless")
            if by_revert:
                raise Reverted(self.name, ENDPOINT, "reverted", b"" if "revert data" in self.refuse else answer)
            return answer
        assert to == MULTICALL
        return self._multicall(data)

    def _program(self, question: bytes, way: str) -> bytes:
        if way in self.refuse:
            raise Unsupported(self.name, ENDPOINT, way)
        tokens = int.from_bytes(question[1:3], "big")
        wallets = (len(question) - 3) // 20 - tokens
        self._count(wallets * (tokens + (question[0] & 1)))
        return self.spoil(program_answer(question, self.balance, self.number, BLOCK.timestamp))

    def _multicall(self, data: bytes) -> bytes:
        if "multicall" in self.refuse:
            return b""
        (calls,) = decode(["(address,bool,bytes)[]"], data[4:])
        self._count(len(calls) - 2)
        results: list[tuple[bool, bytes]] = []
        for target, allow_failure, calldata in calls:
            assert allow_failure
            own, selector = target == MULTICALL, calldata[:4].hex()
            if own and selector in {"42cbb15c", "0f28c97d"}:
                results.append((True, (self.number if selector == "42cbb15c" else BLOCK.timestamp).to_bytes(32, "big")))
                continue
            assert selector == ("4d2301cc" if own else "70a08231")
            value = self.balance(NATIVE if own else bytes.fromhex(target[2:]), calldata[-20:])
            results.append((False, b"") if value is None else (True, value.to_bytes(32, "big")))
        return self.spoil(encode(["(bool,bytes)[]"], [results]))

    def _count(self, pairs: int) -> None:
        if pairs > self.largest:
            raise TooMuch(self.name, ENDPOINT, "out of gas")
        self.pairs_of_calls.append(pairs)

    async def block(self, number: int | None = None) -> Block:  # noqa: ARG002
        return BLOCK


def as_dictionary(found: Balances) -> tuple[dict[tuple[int, int], int], set[tuple[int, int]]]:
    """Balances by (wallet, column), and the failed pairs; checks their order on the way."""
    keys = list(zip(found.wallet.tolist(), found.column.tolist(), strict=True))
    assert keys == sorted(set(keys))
    failed = list(zip(found.failed_wallet.tolist(), found.failed_column.tolist(), strict=True))
    assert failed == sorted(set(failed))
    values = [int.from_bytes(word.tobytes(), "big") for word in found.words]
    return dict(zip(keys, values, strict=True)), set(failed)
