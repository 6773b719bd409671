"""Which tokens are spam: a score from what they call themselves, whom they imitate, how they came and what they claim.

Belongs here: the signals, their weights and the verdict. Quarantine and the users' whitelists are kept elsewhere; which
tokens are listed is in the registry. Each signal alone can be wrong, so it is worth at most what its weight says, and
weights add up like independent doubts: score = 1 − Π (1 − weight).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from portfolio_pipelines.chains.look_alikes import hides_characters, loose_skeleton, mixes_alphabets, skeleton

THRESHOLD = 0.6  # from here on a token is quarantined

_ENDINGS = (
    "com|net|org|xyz|app|site|online|top|club|pro|info|vip|gift|events?|live|lol|claims?|link|cc|co|me|us|ru|to|gg|art|"
    "fund|trade|tech|space|store|shop|win|dev|page|zone|digital|biz|bet|icu|lat|sbs|cfd"
)
_HOUSE_ENDINGS = "fi|finance|exchange|money|cash|network|world|io|ai|fun"  # honest projects too: ether.fi
_DOMAIN = r"[a-z0-9-]{2,}\s?[.。․・]\s?"
_ADDRESS = re.compile(
    rf"https?:|www\.|\bt\.me\b|\bt[.,]ly\b|discord\.gg|\bbit\.ly\b|{_DOMAIN}(?:{_ENDINGS})\b", re.IGNORECASE
)
_HOUSE = re.compile(rf"{_DOMAIN}(?:{_HOUSE_ENDINGS})\b", re.IGNORECASE)
_LURE = re.compile(
    r"\b(?:claims?(?:able)?|visit|airdrops?|rewards?\s*(?:at|on|token)|free\s*(?:mint|tokens?|nft)|gift(?:card)?s?\b|"
    r"voucher|redeem|giveaway|eligible|swap\s+(?:at|on)|telegram|whatsapp|exchange\s+(?:at|on))\b",
    re.IGNORECASE,
)
_MONEY = re.compile(
    r"(?:[$€£]\s?\d[\d,.]*\d|\d[\d,.]*\s?[$€£]|\b\d[\d,.]*\s?(?:usd[ct]?|eth|dollars?)\b)", re.IGNORECASE
)
_LONG_SYMBOL = 26  # characters; the longest of 2,386 listed ones has 23
_LONG_NAME = 64  # the longest listed one has 55
_MASS_RECEIVERS = 5  # of ours in one transaction (the rule of rotki)
_THIN_LIQUIDITY_USD = 10_000.0
_ABSURD_SHARE = 0.5  # of everything the wallet has
_ABSURD_USD = 1_000.0  # below this even half of a wallet is no harm


@dataclass(frozen=True, slots=True)
class Signal:
    """One doubt about a token."""

    reason: str
    weight: float


SIGNALS = (
    Signal("address_in_text", 0.85),
    Signal("house_in_name", 0.4),
    Signal("lure", 0.6),
    Signal("amount_in_text", 0.35),
    Signal("hidden_characters", 0.7),
    Signal("mixed_alphabets", 0.6),
    Signal("overlong_text", 0.4),
    Signal("no_text", 0.25),
    Signal("imitates_by_look", 0.9),
    Signal("imitates_by_digits", 0.5),
    Signal("same_symbol_and_name", 0.7),
    Signal("same_symbol", 0.4),
    Signal("same_name", 0.4),
    Signal("listed_elsewhere", 0.2),
    Signal("unsolicited", 0.25),
    Signal("mass_airdrop", 0.45),
    Signal("no_price", 0.15),
    Signal("one_price_source", 0.25),
    Signal("thin_liquidity", 0.35),
    Signal("absurd_share", 0.4),
    Signal("worth_by_own_word", 0.5),
)
_WEIGHTS = {signal.reason: signal.weight for signal in SIGNALS}

EVIDENCE = {
    "chain_id": pl.Int64,
    "token": pl.String,
    "symbol": pl.String,
    "name": pl.String,
    "solicited": pl.Boolean,  # one of the wallets sent, bought, minted or approved it; null when unknown
    "most_receivers": pl.Int64,  # of our wallets in one transaction that brought it; null when unknown
    "price_sources": pl.Int64,  # providers that have a price; null when not asked
    "liquidity_usd": pl.Float64,  # of the side of its pools that is not this token; null when unknown
    "worth_by_ratio": pl.Boolean,  # no market: only its own contract says how much of another token it stands for
    "value_usd": pl.Float64,  # of the largest holding among the wallets, at the price claimed; null when unpriced
    "value_share": pl.Float64,  # of that holding in its wallet, 0..1
}


def score_tokens(
    evidence: pl.DataFrame,
    listed: pl.DataFrame,
    whitelist: pl.DataFrame | None = None,
    *,
    threshold: float = THRESHOLD,
) -> pl.DataFrame:
    """Score tokens.

    Args:
        evidence: Columns of `EVIDENCE`, one row a token. What is null raises no doubt.
        listed: chain_id, token, symbol, name of tokens that are what they say; token is null for the coin of a chain.
        whitelist: chain_id and token that a person vouches for.
        threshold: Score from which a token is quarantined.

    Returns:
        `evidence` in its order with score (0..1), reasons (list, strongest first), trusted_by (`listed`, `whitelist`
        or null) and quarantined. Listed tokens have score 0. Whitelisted ones keep their score for people to see;
        neither is ever quarantined.
    """
    rows = evidence.with_row_index("_row").with_columns(_texts(evidence))
    rows = _resemblance(rows, listed)
    rows = _trust(rows, listed, whitelist)
    rows = rows.with_columns(_signals())
    not_listed = pl.col("trusted_by").ne_missing("listed")
    doubt = pl.lit(1.0)
    for reason, weight in _WEIGHTS.items():
        doubt = doubt * pl.when(pl.col(f"_{reason}")).then(1 - weight).otherwise(1.0)
    strongest = sorted(_WEIGHTS, key=lambda reason: -_WEIGHTS[reason])
    reasons = pl.concat_list(pl.when(pl.col(f"_{reason}")).then(pl.lit(reason)) for reason in strongest)
    rows = rows.with_columns(
        pl.when(not_listed).then(1 - doubt).otherwise(0.0).alias("score"),
        pl.when(not_listed)
        .then(reasons.list.drop_nulls())
        .otherwise(pl.lit([], dtype=pl.List(pl.String)))
        .alias("reasons"),
    )
    quarantined = (pl.col("score") >= threshold) & pl.col("trusted_by").is_null()
    return rows.sort("_row").select(
        *evidence.columns, "score", "reasons", "trusted_by", quarantined.alias("quarantined")
    )


def _texts(evidence: pl.DataFrame) -> list[pl.Series]:
    """What symbol and name show by themselves."""
    symbols = [text or "" for text in evidence["symbol"].to_list()]
    names = [text or "" for text in evidence["name"].to_list()]

    def either(test: Callable[[str], object]) -> list[bool]:
        known = {text: bool(test(text)) for text in {*symbols, *names}}
        return [known[symbol] or known[name] for symbol, name in zip(symbols, names, strict=True)]

    marks = {
        "address_in_text": [
            _ADDRESS.search(f"{s} \n {n}") is not None or _HOUSE.search(s) is not None
            for s, n in zip(symbols, names, strict=True)
        ],
        "house_in_name": either(_HOUSE.search),
        "lure": either(_LURE.search),
        "amount_in_text": either(_MONEY.search),
        "hidden_characters": either(hides_characters),
        "mixed_alphabets": either(mixes_alphabets),
        "overlong_text": [len(s) > _LONG_SYMBOL or len(n) > _LONG_NAME for s, n in zip(symbols, names, strict=True)],
        "no_text": [not skeleton(s) for s in symbols],
    }
    return [pl.Series(f"_{reason}", values, dtype=pl.Boolean) for reason, values in marks.items()]


def _plain(text: str) -> str:
    return "".join(text.casefold().split())


_FORMS: dict[str, Callable[[str], str]] = {"plain": _plain, "look": skeleton, "loose": loose_skeleton}


def _forms(frame: pl.DataFrame) -> pl.DataFrame:
    """chain_id, and symbol and name in each form; null where there is no text."""
    columns: dict[str, pl.Series] = {"chain_id": frame["chain_id"]}
    for column in ("symbol", "name"):
        texts = frame[column].to_list()
        for form, of in _FORMS.items():
            values = [of(text) or None if text else None for text in texts]
            columns[f"_{column}_{form}"] = pl.Series(values, dtype=pl.String)
    return pl.DataFrame(columns)


def _resemblance(rows: pl.DataFrame, listed: pl.DataFrame) -> pl.DataFrame:
    """Whether symbol and name equal those of a listed token of the chain, or of another chain, or only look so."""
    originals = _forms(listed)
    rows = rows.hstack(_forms(rows).drop("chain_id"))
    for name in originals.columns[1:]:
        places = [([name], f"{name}_anywhere")]
        if name.endswith("plain"):
            places.append((["chain_id", name], f"{name}_here"))
        for keys, mark in places:
            marks = originals.drop_nulls(name).select(keys).unique().with_columns(pl.lit(True).alias(mark))
            rows = rows.join(marks, on=keys, how="left", maintain_order="left")
            rows = rows.with_columns(pl.col(mark).fill_null(False))
    return rows


def _trust(rows: pl.DataFrame, listed: pl.DataFrame, whitelist: pl.DataFrame | None) -> pl.DataFrame:
    keys = ["chain_id", "token"]
    for name, frame in (("_listed", listed), ("_whitelisted", whitelist)):
        if frame is None:
            rows = rows.with_columns(pl.lit(False).alias(name))
            continue
        marks = frame.drop_nulls("token").select(keys).unique().with_columns(pl.lit(True).alias(name))
        rows = rows.join(marks, on=keys, how="left").with_columns(pl.col(name).fill_null(False))
    trusted = pl.when(pl.col("_listed")).then(pl.lit("listed")).when(pl.col("_whitelisted")).then(pl.lit("whitelist"))
    return rows.with_columns(trusted.otherwise(None).alias("trusted_by"))


def _signals() -> list[pl.Expr]:
    """The signals that need more than the texts. Of two that say the same only the stronger is raised."""
    symbol, name = pl.col("_symbol_plain_here"), pl.col("_name_plain_here")
    symbol_anywhere, name_anywhere = pl.col("_symbol_plain_anywhere"), pl.col("_name_plain_anywhere")
    look = (pl.col("_symbol_look_anywhere") & ~symbol_anywhere) | (pl.col("_name_look_anywhere") & ~name_anywhere)
    loose = (pl.col("_symbol_loose_anywhere") & ~symbol_anywhere) | (pl.col("_name_loose_anywhere") & ~name_anywhere)
    elsewhere = (symbol_anywhere | name_anywhere) & ~(symbol | name)
    sources, liquidity = pl.col("price_sources"), pl.col("liquidity_usd")
    share = (pl.col("value_share") >= _ABSURD_SHARE) & (pl.col("value_usd") >= _ABSURD_USD)
    signals = {
        "house_in_name": pl.col("_house_in_name") & ~pl.col("_address_in_text"),
        "imitates_by_look": look,
        "imitates_by_digits": loose & ~look,
        "same_symbol_and_name": symbol & name,
        "same_symbol": symbol & ~name,
        "same_name": name & ~symbol,
        "listed_elsewhere": elsewhere,
        "unsolicited": ~pl.col("solicited"),
        "mass_airdrop": ~pl.col("solicited") & (pl.col("most_receivers") > _MASS_RECEIVERS),
        "no_price": sources == 0,
        "one_price_source": sources == 1,
        "thin_liquidity": (liquidity < _THIN_LIQUIDITY_USD) & (sources > 0),
        "worth_by_own_word": ~pl.col("solicited") & pl.col("worth_by_ratio"),
        "absurd_share": share & ((sources < 2) | (liquidity < _THIN_LIQUIDITY_USD)),
    }
    return [expression.fill_null(False).alias(f"_{reason}") for reason, expression in signals.items()]
