"""Where a wallet keeps a token: the address of its associated token account, derived without asking anybody.

Belongs here: the derivation, in bulk, and what of it is worth keeping. Not here: reading the accounts.

A derived address is the first of up to 256 candidates that is no point of the curve. Finding which one is nearly all of
the work (a second of one core for 90,000), and the answer is one byte: kept, the address itself is a single hash.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

import numpy as np
from numpy.typing import NDArray

from portfolio_pipelines.chains.solana.addresses import solana_address_bytes

ASSOCIATED_TOKEN_PROGRAM: Final = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL"  # noqa: S105 (an address)
_MARKER: Final = b"ProgramDerivedAddress"
_UNKNOWN: Final = 0  # a bump of zero would need 255 candidates in a row on the curve: 1 in 2^255


class AssociatedAccounts:
    """Derives associated token accounts, and remembers one byte for each wallet and mint it has seen."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._columns: dict[tuple[str, str], int] = {}
        self._bumps: NDArray[np.uint8] = np.zeros((0, 0), np.uint8)

    def __len__(self) -> int:
        """How many derivations are remembered."""
        return int(np.count_nonzero(self._bumps))

    def derive(self, wallet: str, mints: Sequence[tuple[str, str]]) -> list[str]:
        """Addresses of the token accounts of a wallet.

        Args:
            wallet: Address of the owner.
            mints: Mint and token program of each token.

        Raises:
            ValueError: If an address is none of Solana.
        """
        from solders.pubkey import Pubkey

        row = self._rows.setdefault(wallet, len(self._rows))
        columns = [self._columns.setdefault(mint, len(self._columns)) for mint in mints]
        self._grow()
        owner = solana_address_bytes(wallet)
        associated = Pubkey.from_string(ASSOCIATED_TOKEN_PROGRAM)
        tail = bytes(associated) + _MARKER
        bumps = self._bumps[row]
        accounts = []
        for (mint, program), column in zip(mints, columns, strict=True):
            seeds = [owner, _key(program), _key(mint)]
            bump = int(bumps[column])
            if bump == _UNKNOWN:
                address, bump = Pubkey.find_program_address(seeds, associated)
                bumps[column] = bump
            else:
                address = Pubkey(sha256(b"".join((*seeds, bytes((bump,)), tail))).digest())
            accounts.append(str(address))
        return accounts

    def _grow(self) -> None:
        """Make room, at least doubling it, so that growing costs little in all."""
        rows, columns = self._bumps.shape
        if len(self._rows) <= rows and len(self._columns) <= columns:
            return
        wider = np.zeros(
            (
                rows if len(self._rows) <= rows else max(len(self._rows), 2 * rows, 64),
                columns if len(self._columns) <= columns else max(len(self._columns), 2 * columns, 8),
            ),
            np.uint8,
        )
        wider[:rows, :columns] = self._bumps
        self._bumps = wider


_KEYS: dict[str, bytes] = {}


def _key(address: str) -> bytes:
    """Bytes of a mint or program; there are few, and they come again for every wallet."""
    key = _KEYS.get(address)
    if key is None:
        key = _KEYS[address] = solana_address_bytes(address)
    return key
