"""Getting the records of Uniswap v3 positions from a node: by our program, else by asking the contracts one by one.

Belongs here: how much is asked at once, and going on where an answer ended. What the records mean is in `uniswap_v3`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from eth_hash.auto import keccak

from portfolio_pipelines.chains.protocols.uniswap_v3_records import (
    PROGRAM_ADDRESS,
    Answer,
    Record,
    decode_answer,
    encode_question,
    packed,
    position_program,
    record_of,
)
from portfolio_pipelines.chains.protocols.view_calls import ENDPOINT, Call, address_of, ask, word, words
from portfolio_pipelines.chains.rpc.errors import BadAnswer, Reverted, TooMuch, Unsupported
from portfolio_pipelines.chains.rpc.node import Block, Node

WALLETS_A_CALL: Final = 4_000  # 14 million gas where nobody owns a position
POSITIONS_A_CALL: Final = 200  # 8 million gas, 166 kB of answer
CLOCK_TOLERANCE: Final = 3_600  # seconds; a node that answers from the wrong state is further off, sooner or later

BALANCE_OF: Final = bytes.fromhex("70a08231")  # balanceOf(address)
TOKEN_OF_OWNER: Final = bytes.fromhex("2f745c59")  # tokenOfOwnerByIndex(address,uint256)
POSITIONS: Final = bytes.fromhex("99fbab88")  # positions(uint256)
GET_POOL: Final = bytes.fromhex("1698ee82")  # getPool(address,address,uint24)
SLOT0: Final = bytes.fromhex("3850c7bd")  # slot0()
GROWTH0: Final = bytes.fromhex("f3058399")  # feeGrowthGlobal0X128()
GROWTH1: Final = bytes.fromhex("46141319")  # feeGrowthGlobal1X128()
TICKS: Final = bytes.fromhex("f30dba93")  # ticks(int24)
POOL_POSITIONS: Final = bytes.fromhex("514ea4bf")  # positions(bytes32)


async def read_records(
    node: Node, manager: str, factory: str, wallets: Sequence[str], block: Block, *, multicall3: str | None
) -> list[Record]:
    """Records of all positions of the wallets, by wallet and index.

    Args:
        node: The chain.
        manager: Address of the NonfungiblePositionManager.
        factory: Address of the pools' factory.
        wallets: Owners, each once.
        block: At which block.
        multicall3: Where Multicall3 stands, for chains whose nodes cannot run our program; None: nowhere.

    Raises:
        BadAnswer: If an answer cannot be true, or no manager has ever stood at its address.
        RpcError: If the chain does not answer.
    """
    records: list[Record] = []
    start, index, most, wallets_a_call = 0, 0, POSITIONS_A_CALL, WALLETS_A_CALL
    while start < len(wallets):
        some = list(wallets[start : start + wallets_a_call])
        try:
            answer = await _run_program(node, manager, factory, some, index, most, block)
        except TooMuch:
            if most == 1 and wallets_a_call == 1:
                raise
            most, wallets_a_call = max(most // 2, 1), max(wallets_a_call // 2, 1)
            continue
        if answer is None:
            return await _ask_contracts(node, manager, factory, wallets, block, multicall3)
        if not answer.is_contract:
            await must_have_stood(node, manager)
            return []
        records += (_moved(record, start) for record in answer.records)
        start, index = start + answer.next_wallet, answer.next_index
    return records


async def must_have_stood(node: Node, address: str) -> None:
    """Do nothing if a contract stands at the address by now: before its time nobody had anything in it.

    Raises:
        BadAnswer: If none does: the address is wrong, and nothing found there would be no zero.
    """
    code = await node.request("eth_getCode", [address, "latest"])
    if not isinstance(code, str) or len(code) <= len("0x"):
        raise BadAnswer(node.name, ENDPOINT, f"no contract stands at {address}")


async def _run_program(
    node: Node, manager: str, factory: str, wallets: list[str], index: int, most: int, block: Block
) -> Answer | None:
    """The program's answer; None where no node runs it, or none gives it enough gas for a single position."""
    question = encode_question(manager, factory, packed(wallets), index, most)
    try:
        data = await node.eth_call(PROGRAM_ADDRESS, question, block.number, code={PROGRAM_ADDRESS: position_program()})
    except Unsupported:
        return None
    except Reverted as error:
        message = f"the positions of {manager} cannot be read: {error.message}"
        raise Reverted(node.name, error.endpoint, message, error.data) from error
    if not data:
        return None  # the node ignored the program: nothing stands at that address
    try:
        answer = decode_answer(data, len(wallets))
    except ValueError as error:
        raise BadAnswer(node.name, ENDPOINT, f"positions of {manager}: {error}") from error
    if abs(answer.timestamp - block.timestamp) > CLOCK_TOLERANCE:
        message = f"positions of {manager} of the time {answer.timestamp} instead of {block.timestamp}"
        raise BadAnswer(node.name, ENDPOINT, message)
    stuck = answer.is_contract and (answer.next_wallet, answer.next_index) == (0, index)
    return None if stuck else answer


async def _ask_contracts(
    node: Node, manager: str, factory: str, wallets: Sequence[str], block: Block, multicall3: str | None
) -> list[Record]:
    async def answers(calls: Sequence[Call], count: int, what: str) -> list[list[int]]:
        found = [words(answer, count) for answer in await ask(node, calls, block.number, multicall3=multicall3)]
        for (contract, _), numbers in zip(calls, found, strict=True):
            if numbers is None:
                raise BadAnswer(node.name, ENDPOINT, f"{contract} does not say {what}")
        return [numbers for numbers in found if numbers is not None]

    code = await node.request("eth_getCode", [manager, hex(block.number)])
    if not isinstance(code, str) or len(code) <= len("0x"):
        await must_have_stood(node, manager)
        return []
    owned = await answers([(manager, BALANCE_OF + word(wallet)) for wallet in wallets], 1, "how many positions it has")
    places = [(place, index) for place, (count,) in enumerate(owned) for index in range(count)]
    ids = await answers(
        [(manager, TOKEN_OF_OWNER + word(wallets[place]) + word(index)) for place, index in places], 1, "which they are"
    )
    own = await answers([(manager, POSITIONS + word(token_id)) for (token_id,) in ids], 12, "what a position is")
    # nonce, operator, token 0, token 1, fee, lower, upper, liquidity, growth inside 0, 1, owed 0, 1
    keys = list(dict.fromkeys((each[2], each[3], each[4]) for each in own))
    found = await answers([(factory, GET_POOL + b"".join(map(word, key))) for key in keys], 1, "where a pool is")
    pools = {key: address_of(number) or "" for key, (number,) in zip(keys, found, strict=True)}
    pool_of = [pools[each[2], each[3], each[4]] for each in own]
    distinct = list(dict.fromkeys(pool_of))
    prices = dict(zip(distinct, await answers([(pool, SLOT0) for pool in distinct], 2, "its price"), strict=True))
    growths = {
        (pool, selector): number
        for selector in (GROWTH0, GROWTH1)
        for pool, (number,) in zip(
            distinct, await answers([(pool, selector) for pool in distinct], 1, "its fees"), strict=True
        )
    }
    bounds = list(dict.fromkeys((pool, each[at]) for pool, each in zip(pool_of, own, strict=True) for at in (5, 6)))
    ticks = dict(
        zip(bounds, await answers([(pool, TICKS + word(tick)) for pool, tick in bounds], 4, "a tick"), strict=True)
    )
    shared = await answers(
        [(pool, POOL_POSITIONS + _key(manager, each[5], each[6])) for pool, each in zip(pool_of, own, strict=True)],
        5,
        "what it owes",
    )
    try:
        return [
            record_of(
                [
                    place,
                    token_id,
                    *each[2:],
                    int(pool, 16),
                    *prices[pool],
                    growths[pool, GROWTH0],
                    growths[pool, GROWTH1],
                ]
                + [*ticks[pool, each[5]][2:], *ticks[pool, each[6]][2:], *whole]
            )
            for (place, _), (token_id,), each, pool, whole in zip(places, ids, own, pool_of, shared, strict=True)
        ]
    except ValueError as error:
        raise BadAnswer(node.name, ENDPOINT, f"positions of {manager}: {error}") from error


def _key(manager: str, lower: int, upper: int) -> bytes:
    """The pool's key of a range of the manager; the bounds are words in two's complement, packed into 3 bytes each."""
    ticks = (bound % 2**24 for bound in (lower, upper))
    return keccak(int(manager, 16).to_bytes(20, "big") + b"".join(tick.to_bytes(3, "big") for tick in ticks))


def _moved(record: Record, by: int) -> Record:
    return replace(record, wallet=record.wallet + by) if by else record
