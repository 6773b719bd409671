"""Local chains for tests: `with Anvil() as chain: …`. A transaction is mined when `send` returns.

Accounts are anvil's own ten, unlocked, with 10,000 coins each. `plain_node` is the same chain as readers see it.
"""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Self

import httpx
import orjson

from portfolio_pipelines.chains.local_chain import LocalChain, LocalChainError, find_anvil
from tests.contracts.install import installed

MULTICALL3 = "0xca11bde05977b3631167028862be2a173976ca11"
FIRST_CHAIN_ID = 31337
GAS = 29_000_000  # of a transaction: almost a block. Estimates are too low where a contract looks at the time
BATCH = 500  # requests a body; anvil refuses bodies above 2 MB unless told otherwise


class ChainError(RuntimeError):
    """The node refused; `data` holds what a reverted call returned."""

    def __init__(self, method: str, error: dict[str, Any]) -> None:
        super().__init__(f"{method}: {error.get('message')} {error.get('data') or ''}".rstrip())
        self.code = int(error.get("code", 0))
        self.data = bytes.fromhex(str(error.get("data") or "0x")[2:])


class Anvil(LocalChain):
    """A local chain that can be asked, sent to, wound back and forward in time."""

    def __init__(self, chain_id: int = FIRST_CHAIN_ID, arguments: Sequence[str] = ()) -> None:
        program = find_anvil([installed()])
        if program is None:
            msg = "npm installed no anvil for this system"
            raise LocalChainError(msg)
        super().__init__(program, chain_id=chain_id, arguments=("--no-request-size-limit", *arguments))
        self._client = httpx.Client(timeout=120, trust_env=False)

    def __enter__(self) -> Self:
        super().__enter__()
        self.accounts: list[str] = [account.lower() for account in self.rpc("eth_accounts")]
        return self

    def stop(self) -> None:
        super().stop()
        self._client.close()

    def rpc(self, method: str, *params: Any) -> Any:
        """The result of one request."""
        return self.batch([(method, params)])[0]

    def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """The results of many requests, in their order; the first that failed raises."""
        results: list[Any] = []
        for start in range(0, len(requests), BATCH):
            part = requests[start : start + BATCH]
            body = [
                {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
                for number, (method, params) in enumerate(part)
            ]
            answer = orjson.loads(self._client.post(self.url, content=orjson.dumps(body), headers=JSON).content)
            answers = {element["id"]: element for element in (answer if isinstance(answer, list) else [answer])}
            for number, (method, _) in enumerate(part):
                element = answers.get(number, answers.get(None, {}))
                if "result" not in element:
                    raise ChainError(method, element.get("error", {"message": "no answer"}))
                results.append(element["result"])
        return results

    def send(
        self, to: str | None, data: bytes = b"", *, sender: str | None = None, value: int = 0, gas: int | None = None
    ) -> dict[str, Any]:
        """Send a transaction from an unlocked account; its receipt.

        Raises:
            ChainError: If it reverts, with its reason.
        """
        transaction = {"from": sender or self.accounts[0], "data": "0x" + data.hex(), "value": hex(value)}
        if to is not None:
            transaction["to"] = to
        transaction["gas"] = hex(GAS if gas is None else gas)
        receipt: dict[str, Any] = self.rpc("eth_sendTransactionSync", transaction)
        if receipt["status"] != "0x1":
            before = hex(int(receipt["blockNumber"], 16) - 1)
            self.rpc("eth_call", transaction, before)  # raises the same again, and this time says why
            message = f"mined but failed after {int(receipt['gasUsed'], 16)} gas"
            raise ChainError("eth_sendTransaction", {"message": message})  # noqa: EM101 - the method's name
        return receipt

    def send_together(self, transactions: Sequence[tuple[str, str, bytes]], gas: int) -> None:
        """Send many transactions in one block, each as (sender, to, data) with so much gas, in the order of a sender.

        Much quicker than one by one where the chain holds much: it keeps a copy of its state for every block.

        Raises:
            ChainError: If one reverts.
        """
        self.rpc("evm_setAutomine", False)
        try:
            senders = list(dict.fromkeys(sender for sender, _, _ in transactions))
            counts = self.batch([("eth_getTransactionCount", [sender, "latest"]) for sender in senders])
            nonce = {sender: itertools.count(int(count, 16)) for sender, count in zip(senders, counts, strict=True)}
            limit = hex(gas)
            bodies = [
                {"from": sender, "to": to, "data": "0x" + data.hex(), "gas": limit, "nonce": hex(next(nonce[sender]))}
                for sender, to, data in transactions
            ]
            hashes = self.batch([("eth_sendTransaction", [body]) for body in bodies])
            self.rpc("evm_mine")
        finally:
            self.rpc("evm_setAutomine", True)
        receipts = self.batch([("eth_getTransactionReceipt", [each]) for each in hashes])
        failed = [number for number, receipt in enumerate(receipts) if not receipt or receipt["status"] != "0x1"]
        if failed:
            message = f"transactions {failed} were not mined or failed"
            raise ChainError("eth_sendTransaction", {"message": message})  # noqa: EM101 - the method's name

    def call(self, to: str, data: bytes, *, sender: str | None = None, block: int | None = None) -> bytes:
        """What a contract answers, now or at an earlier block."""
        answer = self.rpc("eth_call", *self.call_parameters(to, data, sender=sender, block=block))
        return bytes.fromhex(answer[2:])

    @staticmethod
    def call_parameters(to: str, data: bytes, *, sender: str | None = None, block: int | None = None) -> list[Any]:
        """Parameters of an `eth_call`, for batches."""
        transaction = {"to": to, "data": "0x" + data.hex()}
        if sender is not None:
            transaction["from"] = sender
        return [transaction, "latest" if block is None else hex(block)]

    @property
    def height(self) -> int:
        """Number of the newest block."""
        return int(self.rpc("eth_blockNumber"), 16)

    @property
    def now(self) -> int:
        """Timestamp of the newest block."""
        return int(self.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def mine(self, seconds: int | None = None) -> int:
        """Mine one block, so many seconds after the last; its number."""
        if seconds is not None:
            self.rpc("evm_setNextBlockTimestamp", self.now + seconds)
        self.rpc("evm_mine")
        return self.height

    def set_balance(self, address: str, wei: int) -> None:
        """Give an account exactly so much of the native coin."""
        self.rpc("anvil_setBalance", address, hex(wei))

    def set_code(self, address: str, code: bytes) -> None:
        """Put a contract's runtime code at an address."""
        self.rpc("anvil_setCode", address, "0x" + code.hex())

    def impersonate(self, address: str) -> str:
        """Let transactions be sent from any address; gives it coins for gas."""
        self.rpc("anvil_impersonateAccount", address)
        self.set_balance(address, 10**21)
        return address

    @contextmanager
    def reverted(self) -> Iterator[Self]:
        """Whatever happens inside has not happened afterwards."""
        snapshot = self.rpc("evm_snapshot")
        try:
            yield self
        finally:
            self.rpc("evm_revert", snapshot)


JSON = {"Content-Type": "application/json"}


@contextmanager
def chains(count: int, first_chain_id: int = FIRST_CHAIN_ID) -> Iterator[list[Anvil]]:
    """Several chains at once, with ids that follow one another."""
    with ExitStack() as stack:
        yield [stack.enter_context(Anvil(first_chain_id + number)) for number in range(count)]
