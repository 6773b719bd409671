"""What the chain has recorded of Uniswap v3 positions, read by a program of our own: hundreds of positions in a call.

Belongs here: the form of a record, and the program's question and answer as bytes. The program is
`programs/PositionReader.sol`; who asks it, and what is asked where a node cannot run it, is in `uniswap_v3_reading`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Final

from portfolio_pipelines.chains.protocols.tick_math import MAX_TICK, MIN_TICK

PROGRAM: Final = Path(__file__).parent / "programs" / "PositionReader.hex"
PROGRAM_ADDRESS: Final = "0x" + "11" * 20  # nobody's address: the program stands there for the time of a call
READ: Final = bytes.fromhex("7b4a04c0")  # read(address,address,bytes,uint256,uint256)
HEAD_WORDS: Final = 5
WORD: Final = 32
ADDRESS: Final = 20


@dataclass(frozen=True, slots=True)
class Record:
    """A position, its pool and its bounds as the contracts hold them; the order is that of the program's answer.

    `own_…` is the manager's record of this position, `shared_…` the pool's of all the manager's positions in the range.
    """

    wallet: int  # index of the owner in the question
    token_id: int
    token0: int
    token1: int
    fee: int  # in millionths
    lower: int
    upper: int
    liquidity: int
    own_inside0: int
    own_inside1: int
    own_owed0: int
    own_owed1: int
    pool: int
    sqrt_price: int
    tick: int
    growth0: int
    growth1: int
    lower_outside0: int
    lower_outside1: int
    upper_outside0: int
    upper_outside1: int
    shared_liquidity: int
    shared_inside0: int
    shared_inside1: int
    shared_owed0: int
    shared_owed1: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Records, and where to go on: (number of wallets, 0) when all were read."""

    timestamp: int
    is_contract: bool  # whether a manager stands at its address at all
    next_wallet: int
    next_index: int
    records: list[Record]


_NAMES: Final = [field.name for field in fields(Record)]
RECORD_WORDS: Final = len(_NAMES)
_SIGNED: Final = {_NAMES.index(name) for name in ("lower", "upper", "tick")}
_MOST: Final = {
    **dict.fromkeys(("token0", "token1", "pool", "sqrt_price"), 2**160),
    **dict.fromkeys(
        ("liquidity", "own_owed0", "own_owed1", "shared_liquidity", "shared_owed0", "shared_owed1"), 2**128
    ),
    "fee": 2**24,
}


@cache
def position_program() -> bytes:
    """The compiled program."""
    return bytes.fromhex(PROGRAM.read_text("ascii"))


def encode_question(manager: str, factory: str, wallets: Sequence[str], first_index: int, most: int) -> bytes:
    """Calldata of the program.

    Args:
        manager: Address of the position manager.
        factory: Address of the pools' factory.
        wallets: Addresses of owners.
        first_index: The first position of the first wallet to read.
        most: Records that the answer may have.
    """
    owners = b"".join(int(wallet, 16).to_bytes(ADDRESS) for wallet in wallets)
    head = (int(manager, 16), int(factory, 16), 5 * WORD, first_index, most, len(owners))
    return b"".join([READ, *(number.to_bytes(WORD) for number in head), owners, bytes(-len(owners) % WORD)])


def decode_answer(answer: bytes, wallets: int, first_index: int = 0) -> Answer:
    """The records in the program's answer.

    Args:
        answer: As the node gave it.
        wallets: How many were asked about.
        first_index: The first position of the first wallet that was asked for.

    Raises:
        ValueError: If the program cannot have answered that: wrong length, an impossible value, wallets out of order,
            going on elsewhere than where the records end.
    """
    count, rest = divmod(len(answer), WORD)
    if rest or count < HEAD_WORDS:
        msg = f"{len(answer)} bytes are no answer of the position reader"
        raise ValueError(msg)
    numbers = [int.from_bytes(answer[at : at + WORD], "big") for at in range(0, len(answer), WORD)]
    timestamp, is_contract, next_wallet, next_index, records = numbers[:HEAD_WORDS]
    if count != HEAD_WORDS + records * RECORD_WORDS:
        msg = f"{count} words are not {records} positions"
        raise ValueError(msg)
    if is_contract > 1 or next_wallet > wallets or (next_wallet == wallets and next_index):
        msg = f"it goes on at wallet {next_wallet} of {wallets}, position {next_index}"
        raise ValueError(msg)
    found = [record_of(numbers[at : at + RECORD_WORDS]) for at in range(HEAD_WORDS, count, RECORD_WORDS)]
    owners = [record.wallet for record in found]
    if owners != sorted(owners) or (owners and owners[-1] >= min(wallets, next_wallet + 1)):
        msg = f"positions of the wallets {owners} of {wallets}"
        raise ValueError(msg)
    if next_wallet < wallets and next_index != owners.count(next_wallet) + (0 if next_wallet else first_index):
        msg = f"it goes on at wallet {next_wallet}, position {next_index}, after positions of the wallets {owners}"
        raise ValueError(msg)
    return Answer(timestamp, bool(is_contract), next_wallet, next_index, found)


def record_of(numbers: list[int]) -> Record:
    """A record from its words.

    Raises:
        ValueError: If a value is outside of what its type or the contracts allow.
    """
    values = [number - 2**256 if place in _SIGNED and number >> 255 else number for place, number in enumerate(numbers)]
    record = Record(*values)
    for name, most in _MOST.items():
        if getattr(record, name) >= most:
            msg = f"position {record.token_id} has the impossible {name} {getattr(record, name)}"
            raise ValueError(msg)
    if not MIN_TICK <= record.lower < record.upper <= MAX_TICK or not MIN_TICK - 1 <= record.tick <= MAX_TICK:
        msg = f"position {record.token_id} has impossible ticks: {record.lower}, {record.tick}, {record.upper}"
        raise ValueError(msg)
    if not (record.sqrt_price and record.pool):
        msg = f"position {record.token_id} has no pool"
        raise ValueError(msg)
    return record
