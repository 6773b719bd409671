"""Evidence about tokens, out of frames of what wallets hold, what moved, and prices. Judging it is `spam`.

Belongs here: counting and joining, on lazy frames of any size. Where the frames come from is the pipeline's business.
"""

import polars as pl

from portfolio_pipelines.chains.raw_amounts import approximate

HOLDER = ["wallet_key", "token_key"]
RATIO_LAYERS = 3


def largest_holdings(balances: pl.LazyFrame, unit_prices: pl.DataFrame, judged: pl.Series) -> pl.DataFrame:
    """The largest holding of each token at the price claimed for it, and its share of its wallet.

    Args:
        balances: wallet_key, token_key, raw, raw_hex; each pair once.
        unit_prices: token_key and unit_usd, USD for one smallest unit: of all tokens that have a price.
        judged: Keys of the tokens to tell of.

    Returns:
        token_key, value_usd, value_share (0..1, of all that has a price in the wallet); a token without a price is not
        there.
    """
    priced = balances.join(unit_prices.lazy(), on="token_key", how="inner")
    usual = priced.filter(pl.col("raw").is_not_null()).select(
        *HOLDER, (pl.col("raw").cast(pl.Float64) * pl.col("unit_usd")).alias("value_usd")
    )
    long = priced.filter(pl.col("raw_hex").is_not_null()).collect()  # beyond 38 digits: hardly any
    beyond = long.select(*HOLDER, (approximate(long) * long["unit_usd"]).alias("value_usd"))
    values = pl.concat([usual, beyond.lazy()])
    own = values.join(pl.LazyFrame({"token_key": judged}), on="token_key", how="semi")
    largest = own.group_by("token_key").agg(pl.col("value_usd").max()).collect(engine="streaming")
    owners = own.join(largest.lazy(), on=["token_key", "value_usd"], how="semi")
    owners = owners.group_by("token_key").agg(pl.col("wallet_key").min()).collect(engine="streaming").lazy()
    wallets = values.join(owners, on="wallet_key", how="semi").group_by("wallet_key")
    totals = wallets.agg(pl.col("value_usd").sum().alias("_wallet_usd")).collect(engine="streaming")
    shares = largest.lazy().join(owners, on="token_key").join(totals.lazy(), on="wallet_key")
    share = pl.col("value_usd") / pl.col("_wallet_usd")
    return shares.select("token_key", "value_usd", share.alias("value_share")).sort("token_key").collect()


def worth_by_ratio(unit_prices: pl.DataFrame, ratios: pl.DataFrame) -> pl.DataFrame:
    """What one smallest unit of receipts without a market price is worth, by what they say that they stand for.

    Args:
        unit_prices: token_key and unit_usd, USD for one smallest unit; null without a price.
        ratios: token_key, underlying_token_key, numerator, denominator (decimal texts; null without a ratio), each
            receipt once. Of all receipts: they may stand for each other, in up to three layers.

    Returns:
        token_key, unit_usd of receipts that have no price in `unit_prices`.
    """
    priced = unit_prices.filter(pl.col("unit_usd") > 0)
    known: dict[int, float] = dict(priced.select("token_key", "unit_usd").iter_rows())
    found: dict[int, float] = {}
    rows = ratios.drop_nulls(["numerator", "denominator"])
    parts = list(rows.select("token_key", "underlying_token_key", "numerator", "denominator").iter_rows())
    for _ in range(RATIO_LAYERS):
        for token, underlying, numerator, denominator in parts:
            if token not in known and underlying in known:
                found[token] = known[underlying] * (int(numerator) / int(denominator))
        known |= found
    schema = {"token_key": pl.Int32, "unit_usd": pl.Float64}
    return pl.DataFrame(list(found.items()), schema=schema, orient="row")


def how_it_came(transfers: pl.LazyFrame, judged: pl.Series, trusted: pl.Series) -> pl.DataFrame:
    """How tokens came to the wallets, as far as transfers tell.

    A wallet asked for a token when it sent some of it on, or when it paid with a trusted token in the transaction that
    brought it. Transfers of nothing do not count: anybody can have a wallet "send" nothing.

    Args:
        transfers: wallet_key, token_key, tx_hash, direction (in, out), raw, raw_hex.
        judged: Keys of the tokens to tell of.
        trusted: Keys of tokens whose transfers nobody can forge: listed ones.

    Returns:
        token_key, solicited, most_receivers (wallets in one transaction that brought it); tokens that did not move are
        not there.
    """
    amounts = transfers.filter((pl.col("raw") != 0) | pl.col("raw_hex").is_not_null())
    own = amounts.filter(pl.col("token_key").is_in(judged.implode()))
    own_rows = own.select(*HOLDER, "tx_hash", "direction").collect(engine="streaming")
    came = own_rows.filter(pl.col("direction") == "in")
    payment = amounts.filter((pl.col("direction") == "out") & pl.col("token_key").is_in(trusted.implode()))
    bought = (
        payment.select("wallet_key", "tx_hash")
        .join(came.select(*HOLDER, "tx_hash").lazy(), on=["wallet_key", "tx_hash"])
        .select("token_key")
        .unique()
        .collect(engine="streaming")
    )
    sent = own_rows.filter(pl.col("direction") == "out").select("token_key").unique()
    receivers = came.group_by("token_key", "tx_hash").agg(pl.col("wallet_key").n_unique().alias("receivers"))
    most = receivers.group_by("token_key").agg(pl.col("receivers").max().cast(pl.Int64).alias("most_receivers"))
    wanted = pl.concat([sent, bought])["token_key"].implode()
    return (
        own_rows.select("token_key")
        .unique()
        .join(most, on="token_key", how="left")
        .select("token_key", pl.col("token_key").is_in(wanted).alias("solicited"), "most_receivers")
        .sort("token_key")
    )
