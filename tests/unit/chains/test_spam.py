"""Spam is told from honest tokens by what it calls itself, whom it imitates and how it came."""

import json
import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from portfolio_pipelines.chains.look_alikes import hides_characters, loose_skeleton, mixes_alphabets, skeleton
from portfolio_pipelines.chains.spam import EVIDENCE, SIGNALS, THRESHOLD, score_tokens

ROOT = Path(__file__).parents[3]
SHARED = (ROOT / os.environ.get("PORTFOLIO_SHARED_DATA", "../shared/data")).resolve()
LISTED = pl.DataFrame(
    [
        (1, "0x01", "USDC", "USD Coin"),
        (1, "0x02", "USDT", "Tether USD"),
        (1, "0x03", "LINK", "ChainLink Token"),
        (1, "0x04", "SHIB", "SHIBA INU"),
        (1, None, "ETH", "Ether"),
        (10, "0x05", "OP", "Optimism"),
        (1, "0x06", "YFI", "yearn.finance"),
        (1, "0x07", "USD0", "Usual USD"),
    ],
    schema={"chain_id": pl.Int64, "token": pl.String, "symbol": pl.String, "name": pl.String},
    orient="row",
)


def evidence(*rows: dict[str, Any]) -> pl.DataFrame:
    unknown = dict.fromkeys(EVIDENCE) | {"chain_id": 1}
    return pl.DataFrame([unknown | {"token": f"0xff{n}"} | row for n, row in enumerate(rows)], schema=EVIDENCE)


def scored(**row: Any) -> dict[str, Any]:
    return score_tokens(evidence(row), LISTED).row(0, named=True)


# What arrives in wallets: shapes of real spam, most of them on several chains and thousands of times.
SPAM_BY_TEXT = [
    ("USDCClaim.com", "Visit usdcclaim.com to claim", "address_in_text"),
    ("ZEPE.io", "ZEPE.io", "address_in_text"),
    ("$ 3000 USDC", "claim at usdc-rewards.xyz", "address_in_text"),
    ("! 1000 ETH", "Visit https://eth-drop.org", "address_in_text"),
    ("AIRDROP", "t.me/s/USDTAirdrop", "address_in_text"),
    ("BNBW", "www.bnbw.site", "address_in_text"),
    ("LIDO", "Reward at lidofi . app", "address_in_text"),
    ("Get", "Voucher: t.ly/aave-gift", "address_in_text"),
    ("TEDDY", "discord.gg/teddy", "address_in_text"),
    ("Claim", "Claim your rewards", "lure"),
    ("USDT\u200b", "Tether USD\u200b", "imitates_by_look"),
    ("U\u200dSDC", "USD Coin", "imitates_by_look"),
    ("USDС", "USD Coin", "imitates_by_look"),  # Cyrillic С
    ("ЕТН", "Ether", "imitates_by_look"),  # all Cyrillic
    ("ＵＳＤＴ", "Tether", "imitates_by_look"),  # full width
    ("𝐔𝐒𝐃𝐂", "𝐔𝐒𝐃 𝐂𝐨𝐢𝐧", "imitates_by_look"),  # mathematical letters
    ("ÚSDC", "USD Coin", "imitates_by_look"),
    ("lINK", "ChainIink Token", "imitates_by_look"),
    ("$USDC", "Circle", "imitates_by_look"),
    ("\u3164USDT", "Tether", "imitates_by_look"),
    ("USDC", "USD Coin", "same_symbol_and_name"),
    ("eth", "ether", "same_symbol_and_name"),
]


@pytest.mark.parametrize(("symbol", "name", "reason"), SPAM_BY_TEXT, ids=[case[0] for case in SPAM_BY_TEXT])
def test_a_name_that_gives_spam_away_is_enough(symbol: str, name: str, reason: str) -> None:
    verdict = scored(symbol=symbol, name=name)
    assert verdict["quarantined"]
    assert reason in verdict["reasons"]


HONEST = [
    {"symbol": "PENDLE", "name": "Pendle", "price_sources": 2, "solicited": True},
    {"symbol": "ETHFI", "name": "ether.fi", "price_sources": 3, "solicited": True},
    {"symbol": "CRV", "name": "Curve.Fi token", "price_sources": 1, "solicited": True},
    {"symbol": "PEPE", "name": "Pepe", "price_sources": 2, "solicited": False},
    {"symbol": "$MYRO", "name": "Myro", "price_sources": 2, "solicited": True},
    {"symbol": "stETH", "name": "Liquid staked Ether 2.0", "price_sources": 2},
    {"symbol": "USDC.e", "name": "Bridged USDC", "price_sources": 2, "solicited": True},
    {"symbol": "aEthUSDC", "name": "Aave Ethereum USDC"},
    {"symbol": "3Crv", "name": "Curve.fi DAI/USDC/USDT"},
    {"symbol": "UNI-V2", "name": "Uniswap V2", "price_sources": 0, "solicited": True},
    {"symbol": "柴犬", "name": "柴犬币", "price_sources": 2, "solicited": True},
    {"symbol": "РУБ", "name": "Цифровой рубль", "price_sources": 2, "solicited": True},
    {"symbol": "USDO", "name": "OpenEden OpenDollar", "price_sources": 3, "solicited": True},
    {"symbol": "🐻‍❄️", "name": "Polar Bear", "price_sources": 2, "solicited": True},
    {"symbol": "USDC", "name": "Circle USD", "chain_id": 324, "price_sources": 2, "solicited": True},
    {"symbol": "BONUS", "name": "BonusBlock", "price_sources": 2, "solicited": True},
    {"symbol": "PT-sUSDE-27MAR2025", "name": "PT Ethena sUSDE 27MAR2025", "price_sources": 1, "solicited": True},
    {"symbol": "AKITA", "name": "Akita Inu", "price_sources": 2, "solicited": False, "most_receivers": 2},
]


@pytest.mark.parametrize("row", HONEST, ids=[row["symbol"] for row in HONEST])
def test_honest_tokens_that_nobody_listed_stay(row: dict[str, Any]) -> None:
    verdict = scored(**row)
    assert not verdict["quarantined"], verdict["reasons"]


SPAM_BY_CONDUCT = [
    # Three airdropped tokens made a treasury of $11,500 worth $611 million: one pool, one source, most of the wallet.
    {"symbol": "GOLDX", "name": "Gold X", "solicited": False, "price_sources": 1, "liquidity_usd": 120.0,
     "value_usd": 2.0e8, "value_share": 0.99},
    # Sent to many wallets at once, and nobody trades it.
    {"symbol": "TOAD", "name": "Toad", "solicited": False, "most_receivers": 40, "price_sources": 0},
    {"symbol": "MOON", "name": "Moon", "solicited": False, "most_receivers": 9, "price_sources": 1},
    # The symbol of a listed token, unasked for.
    {"symbol": "SHIB", "name": "Shib Reloaded", "solicited": False, "price_sources": 0},
    {"symbol": "USDO0", "name": "Usual USD", "solicited": False, "price_sources": 0},
    {"symbol": "L1NK", "name": "Link Protocol", "solicited": False, "price_sources": 0},
    {"symbol": None, "name": None, "solicited": False, "most_receivers": 100},
    # An honest-looking house, unasked for and without a price.
    {"symbol": "LDOX", "name": "lido-v2.finance", "solicited": False, "price_sources": 0},
]  # fmt: skip


@pytest.mark.parametrize("row", SPAM_BY_CONDUCT, ids=[str(row["symbol"]) for row in SPAM_BY_CONDUCT])
def test_how_a_token_came_and_what_it_claims_gives_it_away(row: dict[str, Any]) -> None:
    verdict = scored(**row)
    assert verdict["quarantined"], (verdict["score"], verdict["reasons"])


def test_what_is_not_known_raises_no_doubt() -> None:
    assert scored(symbol="PENDLE", name="Pendle")["score"] == 0
    assert scored(symbol="PENDLE", name="Pendle")["reasons"] == []


def test_a_large_share_at_a_price_that_two_sources_give_is_simply_a_rich_holding() -> None:
    rich = {"symbol": "PENDLE", "name": "Pendle", "value_usd": 1e7, "value_share": 0.95}
    assert scored(**rich, price_sources=2, liquidity_usd=1e7, solicited=False)["score"] < THRESHOLD
    assert "absurd_share" in scored(**rich, price_sources=1, liquidity_usd=500.0)["reasons"]
    assert (
        "absurd_share" not in scored(symbol="A", name="A", value_usd=9.0, value_share=1.0, price_sources=1)["reasons"]
    )


def test_listed_tokens_are_never_quarantined_whatever_they_are_called() -> None:
    rows = LISTED.drop_nulls("token").with_columns(
        *(pl.lit(None, dtype=kind).alias(name) for name, kind in EVIDENCE.items() if name not in LISTED.columns)
    )
    worst = rows.with_columns(solicited=pl.lit(False), most_receivers=pl.lit(500, dtype=pl.Int64))
    found = score_tokens(worst.select(list(EVIDENCE)), LISTED)
    assert set(found["trusted_by"]) == {"listed"}
    assert found["score"].sum() == 0
    assert not found["quarantined"].any()
    assert found["reasons"].list.len().sum() == 0


def test_the_same_address_on_another_chain_is_not_listed() -> None:
    assert scored(symbol="USDC", name="USD Coin", token="0x01")["trusted_by"] == "listed"
    assert scored(symbol="USDC", name="USD Coin", token="0x01", chain_id=56)["trusted_by"] is None


def test_a_whitelisted_token_is_shown_with_its_score_but_not_quarantined() -> None:
    rows = evidence({"symbol": "claim.com", "name": "x"}, {"symbol": "claim.com", "name": "x"})
    whitelist = pl.DataFrame({"chain_id": [1], "token": ["0xff0"]})
    found = score_tokens(rows, LISTED, whitelist)
    assert found["trusted_by"].to_list() == ["whitelist", None]
    assert found["quarantined"].to_list() == [False, True]
    assert found["score"][0] == found["score"][1] >= THRESHOLD


def test_the_threshold_is_the_callers() -> None:
    rows = evidence({"symbol": "SHIB", "name": "Other"})
    assert score_tokens(rows, LISTED, threshold=0.3)["quarantined"].to_list() == [True]
    assert score_tokens(rows, LISTED)["quarantined"].to_list() == [False]


def test_scores_are_between_0_and_1_and_strongest_reasons_come_first() -> None:
    verdict = scored(
        symbol="USDС\u200b claim.com $500", name="x" * 100, solicited=False, most_receivers=50, price_sources=0
    )
    assert 0.99 < verdict["score"] < 1
    weights = {signal.reason: signal.weight for signal in SIGNALS}
    assert [weights[reason] for reason in verdict["reasons"]] == sorted(
        (weights[reason] for reason in verdict["reasons"]), reverse=True
    )


def test_rows_and_their_order_are_kept() -> None:
    rows = evidence(*({"symbol": symbol, "name": symbol} for symbol in ("B", "USDC", "A", "claim.com", "B")))
    found = score_tokens(rows, pl.concat([LISTED, LISTED]))
    assert found.select(rows.columns).equals(rows)
    assert score_tokens(rows.clear(), LISTED.clear()).is_empty()


@pytest.mark.parametrize(
    ("text", "looks_like"),
    [
        ("USDС", "USDC"), ("uѕdt", "USDT"), ("ЕТН", "eth"), ("ＷＥＴＨ", "WETH"), ("Ｗ E T H", "weth"),
        ("Ετнег", "Ether"), ("SoIana", "Solana"), ("LlNK", "LINK"), ("ＡＡＶＥ", "aave"), ("Dаі", "DAI"),
        ("ΒΤC", "BTC"), ("ᴜꜱᴅᴛ", "USDT"), ("🅄🅂🄳🅃", "USDT"), ("🆄🆂🅳🆃", "USDT"), ("ⓤⓢⓓⓣ", "USDT"),
        ("USD₮", "USDT"), ("W\u0336E\u0336T\u0336H\u0336", "WETH"), ("\u202eUSDC", "USDC"),
    ],
)  # fmt: skip
def test_texts_that_look_alike_have_one_skeleton(text: str, looks_like: str) -> None:
    assert skeleton(text) == skeleton(looks_like)


@pytest.mark.parametrize(
    ("one", "other"), [("LNK", "INK"), ("DAI", "DAL"), ("USD0", "USDO"), ("FLX", "FIX"), ("OP", "OPX")]
)
def test_texts_that_differ_to_the_eye_do_not(one: str, other: str) -> None:
    assert skeleton(one) != skeleton(other)


@pytest.mark.parametrize(
    ("one", "other"), [("USD0", "USDO"), ("L1NK", "LINK"), ("So1ana", "Solana"), ("Cornpound", "Compound")]
)
def test_digits_pass_for_letters_at_second_sight(one: str, other: str) -> None:
    assert loose_skeleton(one) == loose_skeleton(other)


def test_invisible_characters_are_seen_and_emoji_are_not_mistaken_for_them() -> None:
    assert hides_characters("US\u200bDC")
    assert hides_characters("US\u200dDC")
    assert hides_characters("USDC\u3164")
    assert hides_characters("\u202eCDSU")
    assert not hides_characters("🐻‍❄️ Bear")
    assert not hides_characters("USD Coin")


def test_words_of_one_alphabet_are_not_mixed() -> None:
    assert mixes_alphabets("USDС")
    assert not mixes_alphabets("РУБ")
    assert not mixes_alphabets("Русский Coin")
    assert not mixes_alphabets("Café")


@pytest.mark.skipif(not SHARED.is_dir(), reason="shared data (PORTFOLIO_SHARED_DATA) is absent")
def test_thousands_of_listed_names_are_no_spam_by_their_text_and_copies_of_them_are() -> None:
    tokens = pl.DataFrame(json.loads((SHARED / "chains/tokens.json").read_text())["tokens"])
    listed = tokens.select("chain_id", pl.col("address").str.to_lowercase().alias("token"), "symbol", "name")
    rest = [pl.lit(None, dtype=kind).alias(name) for name, kind in EVIDENCE.items() if name not in listed.columns]
    rows = listed.with_columns(rest).select(list(EVIDENCE))
    assert rows.height > 2_000
    by_text = score_tokens(rows, LISTED.clear())
    assert by_text["quarantined"].sum() == 0
    alike = score_tokens(rows.with_columns(chain_id=pl.lit(-1, dtype=pl.Int64)), listed)
    assert alike["reasons"].list.contains("imitates_by_look").sum() == 0
    copies = score_tokens(rows.with_columns(token=pl.lit("0xbad") + pl.col("token")), listed)
    assert copies["quarantined"].all()
