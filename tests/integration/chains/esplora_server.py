"""An Esplora server on this machine: a small chain of blocks, kept as outputs, told in the interface's own shapes."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random
from typing import Any

from portfolio_pipelines.chains.base58 import encode_base58
from tests.integration.chains.loopback import Answer

PAGE = 25
LISTED_OUTPUTS = 500
START = 1_700_000_000
COIN = 100_000_000


def address_of(name: str) -> str:
    """A valid address for a name."""
    data = b"\0" + sha256(name.encode()).digest()[:20]
    return encode_base58(data + sha256(sha256(data).digest()).digest()[:4])


@dataclass
class Transaction:
    txid: str
    spends: list[tuple[str, int]]
    pays: list[tuple[str, int]]  # address, satoshi
    height: int | None = None  # None while it waits


@dataclass
class Chain:
    """Blocks, transactions and who holds what; `handle` answers requests."""

    random: Random = field(default_factory=lambda: Random(7))  # noqa: S311 (the same every time)
    blocks: list[dict[str, Any]] = field(default_factory=list)
    transactions: dict[str, Transaction] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    before: Callable[[str], Answer | None] = lambda _: None
    spoil: Callable[[str, Any], Any] = lambda _, body: body

    # --- what happens on chain ---

    def __post_init__(self) -> None:
        self.mine()

    def wait(self, pays: list[tuple[str, int]], spends: list[tuple[str, int]] | None = None) -> Transaction:
        """A transaction that waits for a block."""
        txid = sha256(f"transaction {len(self.transactions)}".encode()).hexdigest()
        self.transactions[txid] = Transaction(txid, spends or [], pays)
        return self.transactions[txid]

    def mine(self, seconds: int | None = None, salt: str = "") -> int:
        """A block of everything that waits, so many seconds after the one before; gives its height."""
        height = len(self.blocks)
        previous = self.blocks[-1] if self.blocks else {"id": "", "timestamp": START - 600}
        timestamp = previous["timestamp"] + (600 if seconds is None else seconds)
        times = [block["timestamp"] for block in self.blocks[-10:]] + [timestamp]
        self.blocks.append(
            {
                "id": sha256(f"{previous['id']} {height} {timestamp} {salt}".encode()).hexdigest(),
                "height": height,
                "timestamp": timestamp,
                "mediantime": sorted(times)[len(times) // 2],
                "previousblockhash": previous["id"] or None,
                "tx_count": 1,
            }
        )
        for transaction in self.transactions.values():
            if transaction.height is None:
                transaction.height = height
        return height

    def undo(self) -> None:
        """Forget the newest block; its transactions wait again."""
        block = self.blocks.pop()
        for transaction in self.transactions.values():
            if transaction.height == block["height"]:
                transaction.height = None

    def pay(self, sender: str, receiver: str, amount: int) -> None:
        """Spend outputs of the sender, change included; all coins of the very first sender are new."""
        spends, total = [], 0
        for output, value in self.unspent(sender):
            if total >= amount:
                break
            spends.append(output)
            total += value
        assert total >= amount, f"{sender} has not got {amount}"
        change = [(sender, total - amount)] if total > amount else []
        self.wait([(receiver, amount), *change], spends)

    def create(self, receiver: str, amount: int) -> None:
        self.wait([(receiver, amount)])

    def unspent(self, address: str) -> list[tuple[tuple[str, int], int]]:
        """Outputs of an address that nothing spends, waiting ones included."""
        spent = {output for transaction in self.transactions.values() for output in transaction.spends}
        return [
            ((transaction.txid, place), value)
            for transaction in self.transactions.values()
            for place, (owner, value) in enumerate(transaction.pays)
            if owner == address and (transaction.txid, place) not in spent
        ]

    def balance(self, address: str, height: int) -> int:
        """The truth: what an address held after a block."""
        total = 0
        for transaction in self.transactions.values():
            if transaction.height is not None and transaction.height <= height:
                total += sum(value for owner, value in transaction.pays if owner == address)
                total -= sum(self.output(spent)[1] for spent in transaction.spends if self.output(spent)[0] == address)
        return total

    def output(self, reference: tuple[str, int]) -> tuple[str, int]:
        return self.transactions[reference[0]].pays[reference[1]]

    # --- what the server says ---

    async def handle(self, path: str, _body: bytes) -> Answer:
        path = path.removeprefix("/api")
        self.requests.append(path)
        answer = self.before(path)
        if answer is not None:
            return answer
        body = self.spoil(path, self._answer(path))
        return body if isinstance(body, Answer) else Answer(body)

    def _answer(self, path: str) -> Any:
        if path == "/blocks/tip/hash":
            return self.blocks[-1]["id"]
        if path == "/blocks/tip/height":
            return str(len(self.blocks) - 1)
        if match := re.fullmatch(r"/blocks(?:/(\d+))?", path):
            height = int(match[1] or len(self.blocks) - 1)
            return [dict(block) for block in self.blocks[max(0, height - 9) : height + 1][::-1]]
        if match := re.fullmatch(r"/block-height/(\d+)", path):
            height = int(match[1])
            return self.blocks[height]["id"] if height < len(self.blocks) else Answer("Block not found", 404)
        if match := re.fullmatch(r"/address/(\w+)", path):
            return {
                "address": match[1],
                "chain_stats": self._stats(match[1], waiting=False),
                "mempool_stats": self._stats(match[1], waiting=True),
            }
        if match := re.fullmatch(r"/address/(\w+)/utxo", path):
            outputs = self.unspent(match[1])
            if len(outputs) > LISTED_OUTPUTS:
                return Answer("Too many unspent transaction outputs (>500). Contact support to raise limits.", 400)
            return [{"txid": txid, "vout": place, "value": value} for (txid, place), value in outputs]
        if match := re.fullmatch(r"/address/(\w+)/txs/chain(?:/(\w+))?", path):
            own = [each for each in self._own(match[1]) if each.height is not None]
            own.sort(key=lambda each: -(each.height or 0))
            places = [place for place, each in enumerate(own) if each.txid == match[2]]
            start = places[0] + 1 if places else 0
            return [self._shown(each) for each in own[start : start + PAGE]]
        return Answer("Not found", 404)

    def _own(self, address: str) -> list[Transaction]:
        return [
            each
            for each in self.transactions.values()
            if any(owner == address for owner, _ in [*each.pays, *(self.output(spent) for spent in each.spends)])
        ]

    def _stats(self, address: str, *, waiting: bool) -> dict[str, int]:
        own = [each for each in self._own(address) if (each.height is None) == waiting]
        funded = [value for each in own for owner, value in each.pays if owner == address]
        outputs = [self.output(spent) for each in own for spent in each.spends]
        spent = [value for owner, value in outputs if owner == address]
        return {
            "funded_txo_count": len(funded),
            "funded_txo_sum": sum(funded),
            "spent_txo_count": len(spent),
            "spent_txo_sum": sum(spent),
            "tx_count": len(own),
        }

    def _shown(self, transaction: Transaction) -> dict[str, Any]:
        vin = [
            {
                "txid": txid,
                "vout": place,
                "prevout": {
                    "scriptpubkey_address": self.output((txid, place))[0],
                    "value": self.output((txid, place))[1],
                },
                "is_coinbase": False,
            }
            for txid, place in transaction.spends
        ] or [{"txid": "0" * 64, "vout": 2**32 - 1, "prevout": None, "is_coinbase": True}]
        vout = [{"scriptpubkey_address": owner, "value": value} for owner, value in transaction.pays]
        vout.append({"scriptpubkey": "6a", "scriptpubkey_type": "op_return", "value": 0})
        assert transaction.height is not None
        block = self.blocks[transaction.height]
        status = {
            "confirmed": True,
            "block_height": block["height"],
            "block_hash": block["id"],
            "block_time": block["timestamp"],
        }
        return {"txid": transaction.txid, "vin": vin, "vout": vout, "status": status}


def lived(people: int = 6, blocks: int = 60, payments: int = 3, seed: int = 7) -> tuple[Chain, list[str]]:
    """A chain on which some people paid each other, and their addresses; the last one never took part."""
    chain = Chain(random=Random(seed))  # noqa: S311 (the same every time)
    addresses = [address_of(f"person {number} of {seed}") for number in range(people)]
    for address in addresses[:-1]:
        chain.create(address, 50 * COIN)
    chain.mine()
    for _ in range(blocks):
        for _ in range(payments):
            sender, receiver = chain.random.sample(addresses[:-1], 2)
            available = sum(value for _, value in chain.unspent(sender))
            if available:
                chain.pay(sender, receiver, chain.random.randint(1, available))
        chain.mine(chain.random.choice([-900, 1, 300, 600, 1500, 3000]))
    return chain, addresses
