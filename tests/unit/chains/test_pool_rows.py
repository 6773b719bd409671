"""Pools as rows: one for each coin, and the last good one, marked, when a pool could not be read."""

from portfolio_pipelines.chain_tables import POOL_STATES_SCHEMA
from portfolio_pipelines.chains.pool_rows import advance_pools, pool_rows
from portfolio_pipelines.chains.protocols.pool_states import PoolRequest, PoolState
from portfolio_pipelines.chains.raw_amounts import integers
from portfolio_pipelines.chains.rpc.node import Block

ONE, TWO = "0x" + "11" * 20, "0x" + "22" * 20
POOL = "0x" + "aa" * 20
NOW, LATER = Block(7, "0x07", 1_700_000_000), Block(8, "0x08", 1_700_000_012)
V3 = PoolState(
    "uniswap_v3", POOL, (ONE, TWO), (5, 2**200), sqrt_price_x96=2**150, tick=-7, liquidity=2**100, fee_pips=500,
    fee_growth_x128=(2**250, 3),
)  # fmt: skip
CURVE = PoolState("curve", TWO, (ONE, TWO, POOL), (1, 2, 3), 10**40, amplification=100, virtual_price=10**18)


def test_each_coin_is_a_row_and_no_digit_is_lost() -> None:
    rows = pool_rows([V3, CURVE], NOW, {ONE: 1, TWO: 2}, POOL_STATES_SCHEMA)
    assert rows.schema == POOL_STATES_SCHEMA
    assert rows.select("protocol", "position", "token_key").rows() == [
        ("curve", 0, 1), ("curve", 1, 2), ("curve", 2, None), ("uniswap_v3", 0, 1), ("uniswap_v3", 1, 2),
    ]  # fmt: skip
    assert integers(rows, "reserve") == [1, 2, 3, 5, 2**200]
    assert integers(rows, "total_supply") == [10**40] * 3 + [None] * 2
    assert rows["fee_growth_x128"].to_list() == [None] * 3 + [str(2**250), "3"]
    assert rows.row(-1, named=True)["sqrt_price_x96"] == str(2**150)
    assert rows["tick"].to_list() == [None] * 3 + [-7] * 2
    assert not rows["is_stale"].any()


def test_no_pool_is_no_row() -> None:
    assert pool_rows([], NOW, {}, POOL_STATES_SCHEMA).schema == POOL_STATES_SCHEMA


def test_a_pool_that_was_not_read_stays_stale_and_one_that_nobody_asks_for_goes() -> None:
    before = pool_rows([V3, CURVE], NOW, {}, POOL_STATES_SCHEMA)
    read = pool_rows([V3], LATER, {}, POOL_STATES_SCHEMA)
    asked = [PoolRequest("uniswap_v3", POOL), PoolRequest("curve", TWO)]
    after = advance_pools(before, read, asked)
    assert after.select("protocol", "block_number", "is_stale").unique(maintain_order=True).rows() == [
        ("curve", 7, True),
        ("uniswap_v3", 8, False),
    ]
    assert advance_pools(after, read, asked[:1]).equals(read)
    healed = pool_rows([V3, CURVE], LATER, {}, POOL_STATES_SCHEMA)
    assert advance_pools(after, healed, asked).equals(healed)
