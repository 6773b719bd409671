"""Tokens that no compiler would make, in the reader's own assembly language."""

from portfolio_pipelines.chains.reader.assembler import assemble

HOLDER = 10**9 + 14  # a wallet, as a number

# Calldata of 36 bytes is balanceOf(wallet). Any other is a list of (wallet, balance) to store, two words each.
PLAIN = assemble("""
        calldatasize 36 eq @balance_of jumpi
        0                                           ; at
    next:
        calldatasize dup2 lt iszero @done jumpi
        dup1 calldataload 0 mstore
        dup1 32 add calldataload 32 0 keccak256 sstore
        64 add @next jump
    done:
        stop
    balance_of:
        4 calldataload 0 mstore 32 0 keccak256 sload 0 mstore 32 0 return
""")

ODD = {
    "reverts": assemble("0 0 revert"),
    "reverts with a word": assemble("7 0 mstore 32 0 revert"),
    "answers nothing": assemble("stop"),
    "answers 31 bytes": assemble("7 0 mstore 31 1 return"),
    "answers 33 bytes": assemble("7 0 mstore 33 0 return"),
    "answers 64 bytes": assemble("7 0 mstore 64 0 return"),
    "answers 100,000 bytes": assemble("7 0 mstore 100000 0 return"),
    "uses up its gas": assemble("again: @again jump"),
    "is no program": assemble("invalid"),
    "writes while it is asked": assemble("7 0 sstore 7 0 mstore 32 0 return"),
}
"""All of these fail for every wallet."""

EVERYBODY = assemble("1000000 0 mstore 32 0 return")
"""Everybody holds a million."""

SECOND_TIME = assemble("""
        gas 0 sload pop gas swap1 sub               ; what reading a slot cost: 2,100 the first time, 100 later
        1000 gt 0 mstore 32 0 return
""")
"""Answers zero when it is asked first in a transaction, one later."""

HATES_ODD_WALLETS = assemble(f"""
        1 4 calldataload and @odd jumpi
        {HOLDER} 4 calldataload eq 0 mstore 32 0 return
    odd:
        0 0 revert
""")
"""The holder has 1, other even wallets have 0; odd wallets revert."""


def stored(balances: dict[bytes, int]) -> bytes:
    """Calldata that makes PLAIN store balances by wallet."""
    return b"".join(bytes(12) + wallet + balance.to_bytes(32, "big") for wallet, balance in balances.items())
