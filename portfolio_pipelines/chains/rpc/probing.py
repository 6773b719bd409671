"""Finding out what an endpoint can do, with programs too small to be misunderstood.

Belongs here: the programs and what their answers prove. Not here: when to probe (`endpoint`), or keeping the result.

Each program gets a number nobody else knows and must give back its complement: a node that ignores the override, runs
another contract or makes something up cannot. The programs use no opcode younger than the first EVM (no PUSH0), so
they prove the node, not the age of its chain's rules.
"""

from collections.abc import Awaitable, Callable
from secrets import token_bytes
from typing import Final

from portfolio_pipelines.chains.rpc.answers import hex_bytes
from portfolio_pipelines.chains.rpc.capabilities import Facts
from portfolio_pipelines.chains.rpc.errors import InvalidRequest, Reverted, RpcError, TooMuch, Unsupported
from portfolio_pipelines.chains.rpc.questions import Question

# An address without code on every chain: nobody knows a key or a deployer for it.
PROBED_ADDRESS: Final = "0x00000000000000000000000000000000fade0dad"

Ask = Callable[[Question], Awaitable[object]]

# CALLDATALOAD(0) NOT MSTORE(0); GAS MSTORE(32); RETURN(0, 64)
_RUNTIME: Final = bytes.fromhex("600035196000525a60205260406000f3")
_RETURN: Final = bytes.fromhex("60406000f3")
_REVERT: Final = bytes.fromhex("60406000fd")


def _creation_code(secret: bytes, ending: bytes) -> bytes:
    """PUSH32 secret NOT MSTORE(0); GAS MSTORE(32); RETURN or REVERT(0, 64)."""
    return b"\x7f" + secret + bytes.fromhex("196000525a602052") + ending


def _secret() -> bytes:
    return b"\x5a" + token_bytes(31)  # its complement starts with a5: returned creation code may not start with ef


def _proof(answer: bytes, secret: bytes) -> int | None:
    """Gas that the program saw, if the answer proves that it ran."""
    if len(answer) != 64 or answer[:32] != bytes(byte ^ 0xFF for byte in secret):
        return None
    return int.from_bytes(answer[32:], "big")


async def probe_override(ask: Ask, facts: Facts) -> None:
    """Learn whether a call may replace code, and with how much gas it runs.

    Raises:
        RpcError: If the endpoint could not be asked; nothing was learnt.
    """
    secret = _secret()
    call = {"to": PROBED_ADDRESS, "data": "0x" + secret.hex()}
    replaced = {PROBED_ADDRESS: {"code": "0x" + _RUNTIME.hex()}}
    answer = await _answer(ask, Question("eth_call", [call, "latest", replaced], as_bytes=True))
    gas = None if answer is None or answer[1] else _proof(answer[0], secret)
    facts.override = gas is not None
    if gas is not None:
        facts.gas_cap = _rounded(gas)


async def probe_deployless(ask: Ask, facts: Facts) -> None:
    """Learn whether creation code runs in a call, and which way its answer may take.

    Raises:
        RpcError: If the endpoint could not be asked; nothing was learnt.
    """
    found: list[bool] = []
    gas_seen = None
    for ending, by_revert in ((_RETURN, False), (_REVERT, True)):
        secret = _secret()
        call = {"data": "0x" + _creation_code(secret, ending).hex()}
        answer = await _answer(ask, Question("eth_call", [call, "latest"], as_bytes=True))
        gas = None if answer is None or answer[1] is not by_revert else _proof(answer[0], secret)
        found.append(gas is not None)
        gas_seen = gas or gas_seen
    facts.deployless, facts.deployless_revert = found
    if facts.gas_cap is None and gas_seen is not None:
        facts.gas_cap = _rounded(gas_seen)


async def _answer(ask: Ask, question: Question) -> tuple[bytes, bool] | None:
    """What came back and whether by revert; None when the node says that it cannot."""
    try:
        result = await ask(question)
    except Reverted as reverted:
        return reverted.data, True
    except (Unsupported, InvalidRequest, TooMuch):
        return None
    except RpcError:
        raise
    return (result if isinstance(result, bytes) else hex_bytes(str(result))), False


def _rounded(gas: int) -> int | None:
    """Gas as it was before the call itself took its part, to whole 100,000; None when it is not a limit."""
    whole = -(-gas // 100_000) * 100_000
    return whole if whole < 1 << 62 else None
