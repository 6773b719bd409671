"""Single balances are read in groups: every pair once, few that nobody wants, none too big for a call."""

import polars as pl

from portfolio_pipelines.chains.chain_reading import PAIRS_SCHEMA
from portfolio_pipelines.chains.evm_reading import GROUP, pair_groups


def pairs(*rows: tuple[int, str]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=PAIRS_SCHEMA, orient="row")


def asked(group: pl.DataFrame) -> int:
    return group["wallet_key"].n_unique() * group["token"].n_unique()


def test_every_pair_is_in_one_group_and_a_wallet_is_never_divided() -> None:
    wanted = pairs(*((wallet, f"0x{(wallet * 7 + more) % 900:040x}") for wallet in range(3_000) for more in range(2)))
    groups = pair_groups(wanted)
    assert pl.concat(groups).sort(pl.all()).equals(wanted.sort(pl.all()))
    wallets = [key for group in groups for key in group["wallet_key"].unique()]
    assert len(wallets) == len(set(wallets))
    assert max(map(asked, groups)) <= GROUP


def test_wallets_that_hold_the_same_token_are_asked_together() -> None:
    wanted = pairs(*((wallet, f"0x{wallet % 200:040x}") for wallet in range(18_000)))
    assert len(pair_groups(wanted)) < 30
    (all_of_one,) = pair_groups(pairs(*((wallet, "0x" + "a" * 40) for wallet in range(GROUP))))
    assert asked(all_of_one) == GROUP


def test_a_wallet_with_more_tokens_than_a_call_takes_is_a_group_of_its_own() -> None:
    many = [(1, f"0x{token:040x}") for token in range(GROUP + 1)]
    assert sorted(group["wallet_key"].n_unique() for group in pair_groups(pairs(*many, (2, many[0][1])))) == [1, 1]


def test_nothing_is_asked_for_nobody() -> None:
    assert pair_groups(pairs()) == []
