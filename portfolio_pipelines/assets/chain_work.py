"""What is read of one chain, on whatever day, and what is known of its tokens by then.

Belongs here: the parts of a question that do not depend on the day. Where they come from is `chain_works`, how a day is
read is `chain_reading`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import polars as pl

from portfolio_pipelines.chains.chain_reading import ChainReading
from portfolio_pipelines.chains.protocols.pool_states import PoolRequest
from portfolio_pipelines.chains.receipt_tokens import ReceiptToken
from portfolio_pipelines.chains.registry import Chain


@dataclass(frozen=True)
class ChainWork:
    """What is read of one chain, on whatever day.

    Attributes:
        chain: The chain.
        wallets: Columns wallet_key, address: all that are watched on it.
        listed: Contracts that are read for every wallet.
        quarantined: Contracts that count in no total: they are read once a day.
        pair_tokens: Tokens that may be shares of pools of Uniswap v2, its copies, Curve or Balancer.
        token_keys: Keys of all known tokens by contract; grows while reading.
        look_back: How long before its first read a wallet's transfers are looked for.
        pools: Pools whose state is kept day by day.
        decimals: Of all known tokens that say them, by contract; grows while reading.
        receipts: The known receipts by contract; grows while reading.
        may_be_receipts: Known contracts that were never asked whether they are receipts; shrinks and grows.
    """

    chain: Chain
    wallets: pl.DataFrame
    listed: tuple[str, ...]
    quarantined: frozenset[str]
    pair_tokens: tuple[str, ...]
    token_keys: dict[str, int]
    look_back: timedelta
    pools: tuple[PoolRequest, ...] = ()
    decimals: dict[str, int] = field(default_factory=dict)
    receipts: dict[str, ReceiptToken] = field(default_factory=dict)
    may_be_receipts: set[str] = field(default_factory=set)

    def learn(self, reading: ChainReading, keys: Mapping[str, int]) -> None:
        """Take in what a reading said of tokens, so that the next day does not ask for it again."""
        self.token_keys.update(keys)
        new = dict(reading.new_tokens.drop_nulls("decimals").select("token", "decimals").iter_rows())
        self.decimals.update(new)
        self.may_be_receipts.update(new)
        for finding in reading.receipts:
            self.may_be_receipts.discard(finding.token)
            receipt = finding.receipt(self.decimals[finding.token])
            if receipt is not None:
                self.receipts[finding.token] = receipt
