"""DefiLlama's list of pools: what its rows mean, and which of them is which contract."""

import json
import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from portfolio_pipelines.market.answers import UnreadableReplyError
from portfolio_pipelines.market.defillama_yields import FOLLOWED, YIELDS, match_pools, parse_pools

ROOT = Path(__file__).parents[3]
SHARED = (ROOT / os.environ.get("PORTFOLIO_SHARED_DATA", "../shared/data")).resolve()
USDC, WETH = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2"
COINS = [USDC.lower(), WETH.lower()]


def row(**changes: Any) -> dict[str, Any]:
    return {
        "chain": "Ethereum", "project": "uniswap-v3", "symbol": "USDC-WETH", "tvlUsd": 1.5e8, "apyBase": 12.5,
        "apyReward": None, "pool": "id-1", "poolMeta": "0.05%", "underlyingTokens": [WETH, USDC],
        "volumeUsd1d": 2e8, "volumeUsd7d": 1e9, **changes,
    }  # fmt: skip


def listed(*rows: dict[str, Any]) -> pl.DataFrame:
    return parse_pools({"status": "success", "data": list(rows)})


def followed(**changes: Any) -> pl.DataFrame:
    pool = {
        "chain": "ethereum", "chain_name": "Ethereum", "pool": "0x01", "protocol": "uniswap_v3", "coins": COINS,
        "fee_pips": 500, **changes,
    }  # fmt: skip
    return pl.DataFrame([pool], schema=FOLLOWED)


def test_a_row_says_worth_volume_and_yields_of_a_year_as_fractions() -> None:
    (found,) = listed(row()).to_dicts()
    assert found["coins"] == COINS
    assert (found["tvl_usd"], found["volume_usd_1d"], found["volume_usd_7d"]) == (1.5e8, 2e8, 1e9)
    assert (found["fee_apy"], found["reward_apy"], found["fee_pips"]) == (0.125, None, 500)


def test_what_the_list_does_not_say_or_says_wrongly_is_unknown() -> None:
    (found,) = listed(row(tvlUsd="much", apyBase=True, volumeUsd1d=None, volumeUsd7d=-1, poolMeta="fee 5")).to_dicts()
    assert [found[name] for name in ("tvl_usd", "fee_apy", "volume_usd_1d", "volume_usd_7d", "fee_pips")] == [None] * 5
    missing = row()
    del missing["volumeUsd1d"]
    assert listed(missing)["volume_usd_1d"].to_list() == [None]


def test_pools_of_other_projects_or_without_coins_are_left_out() -> None:
    rows = [row(project="lido"), row(underlyingTokens=None), row(chain=None)]
    assert listed(*rows).is_empty()
    assert listed(*rows).schema == YIELDS


@pytest.mark.parametrize("reply", [None, [], {"status": "error"}, {"data": ["no pool"]}])
def test_another_shape_is_no_list(reply: object) -> None:
    with pytest.raises(UnreadableReplyError):
        parse_pools(reply)


def test_a_pool_is_found_by_chain_exchange_coins_and_fee() -> None:
    rows = [
        row(), row(pool="id-2", poolMeta="0.3%"), row(pool="id-3", chain="Base"), row(pool="id-4", project="sushiswap"),
        row(pool="id-5", underlyingTokens=[USDC]),
    ]  # fmt: skip
    (found,) = match_pools(followed(), listed(*rows)).to_dicts()
    assert (found["chain"], found["pool"], found["llama_pool"], found["tvl_usd"]) == ("ethereum", "0x01", "id-1", 1.5e8)


def test_pools_that_cannot_be_told_apart_are_not_matched() -> None:
    assert match_pools(followed(), listed(row(), row(pool="id-2"))).is_empty()
    twins = pl.concat([followed(), followed(pool="0x02")])
    assert match_pools(twins, listed(row())).is_empty()


def test_chains_are_known_by_their_names_there() -> None:
    bnb = followed(chain="bsc", chain_name="BNB Smart Chain")
    assert match_pools(bnb, listed(row(chain="BSC"))).height == 1
    assert match_pools(followed(chain_name="OP Mainnet"), listed(row(chain="OP Mainnet"))).height == 1


@pytest.mark.skipif(not SHARED.is_dir(), reason="shared data (PORTFOLIO_SHARED_DATA) is absent")
def test_recorded_rows_are_read() -> None:
    body = json.loads((SHARED / "providers/defillama_yields_sample.json").read_text())["body"]
    for pool in body["data"]:  # those of lending and staking, shaped like all others
        (found,) = parse_pools({"data": [{**pool, "project": "curve-dex", "underlyingTokens": [USDC]}]}).to_dicts()
        assert found["tvl_usd"] == pool["tvlUsd"]
        assert found["fee_apy"] == pytest.approx(pool["apyBase"] / 100)
        assert found["volume_usd_1d"] is None
