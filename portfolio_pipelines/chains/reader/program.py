"""The reader's program as bytes, made from its source when it is first needed.

Belongs here: which parameters the program has. What it is asked and how it answers is in `encoding`.
"""

from functools import cache
from pathlib import Path
from typing import Final

from portfolio_pipelines.chains.reader.assembler import assemble

SOURCE: Final = Path(__file__).with_name("balance_reader.easm")
READER_ADDRESS: Final = "0x" + "11" * 20  # nobody's address: the program stands there for the time of a call
TOKEN_GAS: Final = 250_000  # gas of one balanceOf: proxies of rebasing tokens need about 100,000
FINISHING_GAS: Final = 10_000  # what the program needs to answer after the last token


@cache
def reader_program(token_gas: int = TOKEN_GAS) -> bytes:
    """The program, for a limit of gas that one token may use.

    Before each token the program makes sure that what is left suffices to give it `token_gas`: a call passes on at
    most 63/64 of the gas it has (EIP-150), and gets 32/31 of `token_gas` here.

    Raises:
        ValueError: If the limit is not positive.
    """
    if token_gas <= 0:
        msg = f"a token needs gas to answer; got a limit of {token_gas}"
        raise ValueError(msg)
    enough = token_gas + token_gas // 32 + FINISHING_GAS
    return assemble(SOURCE.read_text("utf-8"), {"TOKEN_GAS": token_gas, "ENOUGH_GAS": enough})
