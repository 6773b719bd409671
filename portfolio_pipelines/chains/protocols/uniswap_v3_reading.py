"""Getting the records of Uniswap v3 positions from a node: by our program, else by asking the contracts one by one.

Belongs here: how much is asked at once, and going on where an answer ended. What the records mean is in `uniswap_v3`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from portfolio_pipelines.chains.deployments import UniswapV3
from portfolio_pipelines.chains.protocols.calls import Call, CallFailed, call_many, numbers, selector, view
from portfolio_pipelines.chains.protocols.faults import Faults
from portfolio_pipelines.chains.protocols.uniswap_v3_records import (
    PROGRAM_ADDRESS,
    Answer,
    Record,
    decode_answer,
    encode_question,
    position_program,
    record_of,
)
from portfolio_pipelines.chains.rpc.errors import BadAnswer, Reverted, TooMuch, Unsupported
from portfolio_pipelines.chains.rpc.node import ANSWERED_BY, Block, Node

WALLETS_A_CALL: Final = 4_000  # 14 million gas where nobody owns a position
POSITIONS_A_CALL: Final = 200  # 8 million gas, 166 kB of answer
NO_CODE: Final = ("0x", "", None)

Row = list[int]


async def read_records(
    node: Node, wallets: Sequence[str], block: Block, deployment: UniswapV3, faults: Faults, *, multicall3: str | None
) -> list[Record]:
    """Records of all positions of the wallets, by wallet and index.

    Args:
        node: The chain.
        wallets: Owners, each once.
        block: At which block.
        deployment: Where to look.
        faults: Takes what could not be read.
        multicall3: Where Multicall3 stands, for chains whose nodes cannot run our program; None: nowhere.

    Raises:
        PositionFault: If nobody collects the faults.
        BadAnswer: If an answer cannot be true.
        RpcError: If the chain does not answer.
    """
    records: list[Record] = []
    start, index, most, wallets_a_call = 0, 0, POSITIONS_A_CALL, WALLETS_A_CALL
    while start < len(wallets):
        some = wallets[start : start + wallets_a_call]
        try:
            answer = await _run_program(node, some, index, most, block, deployment)
        except TooMuch:
            if most == len(some) == 1:
                raise
            most, wallets_a_call = max(most // 2, 1), max(len(some) // 2, 1)
            continue
        if answer is None:
            return await _ask_contracts(node, wallets, block, deployment, faults, multicall3)
        if not answer.is_contract:
            await _must_have_stood(node, deployment.position_manager, faults)
            return []
        records += (replace(record, wallet=record.wallet + start) for record in answer.records)
        start, index = start + answer.next_wallet, answer.next_index
    return records


async def _must_have_stood(node: Node, manager: str, faults: Faults) -> None:
    """Before a manager's time nobody had anything in it. One that stands nowhere at all is a wrong address."""
    if await node.request("eth_getCode", [manager, "latest"]) in NO_CODE:
        faults.add(manager, "no contract stands at this address")


async def _run_program(
    node: Node, wallets: Sequence[str], index: int, most: int, block: Block, deployment: UniswapV3
) -> Answer | None:
    """The program's answer; None where no node runs it, or it cannot read so much as one position."""
    question = encode_question(deployment.position_manager, deployment.factory, wallets, index, most)
    try:
        data = await node.eth_call(PROGRAM_ADDRESS, question, block.number, code={PROGRAM_ADDRESS: position_program()})
    except (Unsupported, Reverted):
        return None  # some contract does not answer as it should: asked one by one, each position shows which
    if not data:
        return None  # the node ignored the program: nothing stands at that address
    try:
        answer = decode_answer(data, len(wallets), index)
    except ValueError as error:
        raise BadAnswer(node.name, ANSWERED_BY.get(), f"Uniswap v3 positions: {error}") from error
    if answer.timestamp != block.timestamp:
        message = f"Uniswap v3 positions at time {answer.timestamp}, block {block.number} is of {block.timestamp}"
        raise BadAnswer(node.name, ANSWERED_BY.get(), message)
    stuck = answer.is_contract and (answer.next_wallet, answer.next_index) == (0, index)
    return None if stuck else answer


@dataclass(frozen=True, slots=True)
class _Asking:
    """Questions to contracts, one about each row; what is answered is put at the end of the row."""

    node: Node
    wallets: Sequence[str]
    block: Block
    manager: str
    faults: Faults
    multicall3: str | None

    async def __call__(self, rows: list[Row], about: Callable[[Row], Call], first: int, end: int) -> list[Row]:
        """The rows with the words `first` to `end` of their answers; those that got none are faults."""
        calls = [about(row) for row in rows]
        distinct = list(dict.fromkeys(calls))
        answers = await call_many(self.node, distinct, self.block, multicall3=self.multicall3)
        by_call = dict(zip(distinct, answers, strict=True))
        longer = []
        for row, call in zip(rows, calls, strict=True):
            try:
                longer.append([*row, *numbers(call, by_call[call], least=end)[first:end]])
            except CallFailed as error:
                self.faults.add(self.manager, f"a position is unknown: {error}", wallet=self.wallets[row[0]])
        return longer


async def _ask_contracts(
    node: Node, wallets: Sequence[str], block: Block, deployment: UniswapV3, faults: Faults, multicall3: str | None
) -> list[Record]:
    manager, factory = deployment.position_manager, deployment.factory
    if await node.request("eth_getCode", [manager, hex(block.number)]) in NO_CODE:
        await _must_have_stood(node, manager, faults)
        return []
    ask = _Asking(node, wallets, block, manager, faults, multicall3)

    def pool(row: Row) -> str:
        return f"0x{row[12]:040x}"

    owned = await ask([[place] for place in range(len(wallets))], lambda row: _owned(manager, wallets[row[0]]), 0, 1)
    rows = [[place, index] for place, count in owned for index in range(count)]
    rows = await ask(
        rows, lambda row: view(manager, "tokenOfOwnerByIndex(address,uint256)", wallets[row[0]], row[1]), 0, 1
    )
    rows = [[place, token_id] for place, _, token_id in rows]
    # From here on the words of a row are those of a record, in its order.
    rows = await ask(rows, lambda row: view(manager, "positions(uint256)", row[1]), 2, 12)
    rows = await ask(rows, lambda row: view(factory, "getPool(address,address,uint24)", *row[2:5]), 0, 1)
    rows = await ask(rows, lambda row: view(pool(row), "slot0()"), 0, 2)
    rows = await ask(rows, lambda row: view(pool(row), "feeGrowthGlobal0X128()"), 0, 1)
    rows = await ask(rows, lambda row: view(pool(row), "feeGrowthGlobal1X128()"), 0, 1)
    rows = await ask(rows, lambda row: view(pool(row), "ticks(int24)", row[5]), 2, 4)
    rows = await ask(rows, lambda row: view(pool(row), "ticks(int24)", row[6]), 2, 4)
    rows = await ask(rows, lambda row: Call(pool(row), _shared(manager, row[5], row[6])), 0, 5)
    records = []
    for row in rows:
        try:
            records.append(record_of(row))
        except ValueError as error:
            faults.add(manager, f"a position is unknown: {error}", wallet=wallets[row[0]])
    return records


def _owned(manager: str, wallet: str) -> Call:
    return view(manager, "balanceOf(address)", wallet)


def _shared(manager: str, lower: int, upper: int) -> bytes:
    """Calldata for the pool's record of a range of the manager. Its key packs the ticks into 3 bytes each."""
    from eth_hash.auto import keccak

    ticks = b"".join((bound % 2**24).to_bytes(3) for bound in (lower, upper))
    return selector("positions(bytes32)") + keccak(bytes.fromhex(manager[2:]) + ticks)
