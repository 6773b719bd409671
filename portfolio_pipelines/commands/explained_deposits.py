"""What a position in a pool was compared with, and its fees, coin by coin. See `explained_liquidity` for the rest.

Belongs here: the deposit as the user entered it or as it was followed from read to read, at the prices now; the fees as
growth of a share, or as coins that waited. Both lie in the lake: the marts hold the results alone.
"""

import math
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from portfolio_pipelines.commands.console import CommandError
from portfolio_pipelines.commands.explained_liquidity import PAIRS_WITHOUT_RANGE, WEIGHTED, weight_of_a_pair
from portfolio_pipelines.commands.explained_metrics import Explanation, Question, Value

if TYPE_CHECKING:
    import duckdb

    from portfolio_pipelines.resources.lake import Lake

OF_DEPOSITS: Final = ("hodl_value_usd", "fees_usd")
"""The figures of one position that rest on what was put in."""
CONCENTRATED: Final = "uniswap_v3"
STABLE: Final = "curve"
ROW: Final = """
    select losses.*, sizes.coins
    from intermediate.fct_impermanent_loss as losses
    left join (
        select chain, pool, max(position) + 1 as coins from marts.pool_states_daily group by chain, pool
    ) as sizes on sizes.chain = losses.chain and sizes.pool = losses.pool
    where losses.user_id = ? and losses.date = ? and losses.position_id = ? and losses.is_last_of_day
"""
CLOSES: Final = """
    select tokens.token_key, tokens.address, tokens.token, prices.close_usd
    from intermediate.dim_chain_tokens as tokens
    left join marts.prices_daily as prices on prices.asset_id = tokens.price_asset_id and prices.date = ?
    where tokens.chain = ?
"""
COINS_OF_POOL: Final = """
    select position, any_value(token_key) from marts.pool_states_daily where chain = ? and pool = ? group by position
"""
GROWTH: Final = """
    select any_value(date),
        coalesce(
            max(virtual_price),
            sqrt(max(cast(reserve_raw as double)) filter (where position = 0)
                * max(cast(reserve_raw as double)) filter (where position = 1)) / max(cast(total_supply_raw as double))
        )
    from marts.pool_states_daily
    where chain = ? and pool = ? and date <= ? and not starts_with(reserve_raw, '0x')
    group by date order by date desc limit 1
"""
GROWTH_OF_WEIGHTED: Final = """
    select any_value(date),
        case
            when count(*) = count(weight) and min(cast(reserve_raw as double)) > 0
                then exp(sum(weight * ln(greatest(cast(reserve_raw as double), 1))))
                    / max(cast(total_supply_raw as double))
        end
    from marts.pool_states_daily
    where chain = ? and pool = ? and date <= ? and not starts_with(reserve_raw, '0x')
    group by date order by date desc limit 1
"""
Coins = list[dict[str, Any]]


def explain_deposit(marts: "duckdb.DuckDBPyConnection", lake: "Lake | None", question: Question) -> Explanation:
    """Work the worth of holding, or the fees, of one position out from its coins.

    Raises:
        CommandError: If the lake is not at hand.
    """
    if lake is None:
        msg = f"{question.metric} of a position rests on its coins, which are read from the lake: it is not at hand"
        raise CommandError(msg)
    found = marts.execute(ROW, [question.user, question.day, question.position])
    names = [column[0] for column in found.description or []]
    row = dict(zip(names, found.fetchall()[0], strict=True))  # explain_loss has found it
    begins: list[tuple[str, Value]] = [("compared with", row["basis"]), ("since", row["since"])]
    coins = _coins(marts, lake, row, question.day)
    if row["source"] == "read":
        worked = _read_fees(coins, row) if question.metric == "fees_usd" else _followed(coins, row)
    elif question.metric == "fees_usd":
        worked = _entered_fees(marts, coins, row, question.day)
    else:
        worked = _entered(marts, lake, coins, row, question.day)
    return Explanation(worked.formula, begins + list(worked.inputs), worked.recomputed)


def _coins(marts: "duckdb.DuckDBPyConnection", lake: "Lake", row: dict[str, Any], day: date) -> Coins:
    """The coins of the position that was read, each with what one of it counts as, in USD."""
    import polars as pl

    from portfolio_pipelines.liquidity_tables import LIQUIDITY_BASES, LIQUIDITY_BASES_SCHEMA

    if row["wallet_key"] is None or row["chain_position_id"] is None:
        return []
    bases = lake.read(LIQUIDITY_BASES, [day], pl.Schema({**LIQUIDITY_BASES_SCHEMA, "date": pl.Date()}))
    own = bases.filter(
        (pl.col("chain") == row["chain"]) & (pl.col("wallet_key") == row["wallet_key"])
        & (pl.col("protocol") == row["protocol"]) & (pl.col("position_id") == row["chain_position_id"])
    ).sort("place").to_dicts()  # fmt: skip
    closes = {key: (name, usd) for key, _, name, usd in marts.execute(CLOSES, [day, row["chain"]]).fetchall()}
    for coin in own:
        coin["name"], coin["usd"] = closes.get(coin["token_key"], (str(coin["token_key"]), None))
    by_market = row["protocol"] == STABLE or len(own) != 2
    for coin in own:
        coin["counts"] = (
            coin["usd"] if by_market else _in_a_pair(coin["place"], row["price"], own[0]["usd"], own[1]["usd"])
        )
    return own


def _in_a_pair(place: int, price: float | None, usd0: float | None, usd1: float | None) -> float | None:
    """Coins of a pair count at the price of their pool, and coin 1 (else coin 0) at its price in USD."""
    if price is None or (usd0 is None and usd1 is None):
        return None
    one = usd1 if usd1 is not None else (usd0 or 0.0) / price
    return one * price if place == 0 else one


def _worth(coins: Coins, amounts: list[float | None]) -> float | None:
    """Sum of amounts at what each coin counts as; None when one cannot be told. Nothing of a coin needs no price."""
    total = 0.0
    for coin, amount in zip(coins, amounts, strict=True):
        if amount is None or (amount and coin["counts"] is None):
            return None
        total += amount * coin["counts"] if amount else 0.0
    return total


def _followed(coins: Coins, row: dict[str, Any]) -> Explanation:
    inputs: list[tuple[str, Value]] = [
        (f"{coin['deposited']:,.8g} {coin['name']} put in, at USD", coin["counts"]) for coin in coins
    ]
    del row
    formula = "sum of what was put in for the shares that are there now, at the prices now"
    return Explanation(formula, inputs, _worth(coins, [coin["deposited"] for coin in coins]))


def _read_fees(coins: Coins, row: dict[str, Any]) -> Explanation:
    """Fees that stay in the pool, by the growth of a share, and those that wait beside."""
    formula = (
        "held - held / growth of a share since + fees that wait + fees that were collected - those of the time before"
    )
    first = coins[0]
    grown = (
        first["units"] * first["growth"] / first["grown_units"] if first["growth"] and first["grown_units"] else None
    )
    inputs: list[tuple[str, Value]] = [("growth of what was put in", grown)]
    inputs += [(f"{coin['held']:,.8g} {coin['name']} held, at USD", coin["counts"]) for coin in coins]
    for word in ("fees", "collected", "fees_before"):
        inputs += [(f"{word.replace('_', ' ')}, {coin['name']}", coin[word]) for coin in coins if coin[word]]
    held = _worth(coins, [coin["held"] for coin in coins])
    apart = _worth(coins, [_sum(coin["fees"], coin["collected"], coin["fees_before"]) for coin in coins])
    del row
    known = held is not None and grown and apart is not None
    return Explanation(
        formula, inputs, (held or 0.0) - (held or 0.0) / grown + (apart or 0.0) if known and grown else None
    )


def _sum(fees: float | None, collected: float | None, before: float | None) -> float | None:
    return None if fees is None or collected is None or before is None else fees + collected - before


def _entered_fees(marts: "duckdb.DuckDBPyConnection", coins: Coins, row: dict[str, Any], day: date) -> Explanation:
    """Of Uniswap v3 what was ever seen waiting; of others the growth of a share since the close of entry."""
    if row["protocol"] == CONCENTRATED:
        seen: list[tuple[str, Value]] = []
        total: float | None = 0.0 if coins else None
        for coin in coins:
            amount = _sum(coin["fees"], coin["collected"], 0.0)
            seen.append((f"fees in {coin['name']}, at {coin['usd']} USD", amount))
            if amount is None or (amount and coin["usd"] is None):
                total = None
            elif total is not None and amount:
                total += amount * coin["usd"]
        return Explanation("sum of the fees that were ever seen waiting, at the prices now", seen, total)
    then, now = _growth(marts, row, row["since"]), _growth(marts, row, day)
    inputs: list[tuple[str, Value]] = [
        ("worth of a share in itself at the close of entry", then), ("the same now", now),
        ("worth in the pool without fees, USD", row["position_value_usd"]),
    ]  # fmt: skip
    known = then and now and row["position_value_usd"] is not None
    again = row["position_value_usd"] * (now / then - 1) if known and then and now else None
    formula = "worth in the pool without fees * (growth of a share since the close of the day of entry - 1)"
    return Explanation(formula, inputs, again)


def _growth(marts: "duckdb.DuckDBPyConnection", row: dict[str, Any], day: date) -> float | None:
    """Product of reserve^weight of a share of a pair, or the virtual price; None where the pool was not read."""
    if row["protocol"] not in {*PAIRS_WITHOUT_RANGE, STABLE, WEIGHTED}:
        return None
    asked = GROWTH_OF_WEIGHTED if row["protocol"] == WEIGHTED else GROWTH
    found = marts.execute(asked, [row["chain"], row["pool"], day]).fetchone()
    growth: float | None = None if found is None else found[1]
    return growth


def _entered(
    marts: "duckdb.DuckDBPyConnection", lake: "Lake", coins: Coins, row: dict[str, Any], day: date
) -> Explanation:
    """The amounts that the user gave, or what the liquidity that was read took at the price of entry."""
    import polars as pl

    from portfolio_pipelines.liquidity_tables import LIQUIDITY_POSITIONS, LIQUIDITY_POSITIONS_SCHEMA

    key = int(row["position_id"].removeprefix("entered/"))
    table = lake.read_table(LIQUIDITY_POSITIONS, LIQUIDITY_POSITIONS_SCHEMA)
    given = table.filter(pl.col("position_key") == key).to_dicts()[0]
    closes = marts.execute(CLOSES, [day, row["chain"]]).fetchall()
    by_key, by_address = {key: usd for key, _, _, usd in closes}, {name: usd for _, name, _, usd in closes}
    keys = dict(marts.execute(COINS_OF_POOL, [row["chain"], row["pool"]]).fetchall())
    usd0, usd1 = (by_address.get(given[f"token{place}"], by_key.get(keys.get(place))) for place in (0, 1))
    counts = [_in_a_pair(place, row["price"], usd0, usd1) for place in (0, 1)]
    amounts = [given["amount0"], given["amount1"]]
    if amounts[0] is None and coins:
        amounts = list(_taken(marts, coins, row, day))
    inputs: list[tuple[str, Value]] = [
        (f"{amount:,.8g} of coin {place} put in, at USD", usd)
        for place, (amount, usd) in enumerate(zip(amounts, counts, strict=True))
        if amount is not None
    ]
    known = all(value is not None for value in (*amounts, *counts))
    again = sum(amount * (usd or 0.0) for amount, usd in zip(amounts, counts, strict=True)) if known else None
    return Explanation("sum of what was put in, at the prices now", inputs, again)


def _taken(
    marts: "duckdb.DuckDBPyConnection", coins: Coins, row: dict[str, Any], day: date
) -> tuple[float, float] | tuple[None, None]:
    """Units of both coins that the liquidity took at the price of entry; None where its formula is not told here."""
    root = math.sqrt(row["entry_price"])
    if row["protocol"] == CONCENTRATED:
        low, high = math.sqrt(row["lower_price"]), math.sqrt(row["upper_price"])
        inside = min(max(root, low), high)
        units = coins[0]["units"]
        return units * (1 / inside - 1 / high), units * (inside - low)
    then, now = _growth(marts, row, row["since"]), _growth(marts, row, day)
    weight = 0.5 if row["protocol"] in PAIRS_WITHOUT_RANGE else weight_of_a_pair(marts, row)
    if weight is None or not then or not now:
        return None, None
    units = coins[0]["held"] ** weight * coins[1]["held"] ** (1 - weight) * then / now
    proportion = row["entry_price"] * (1 - weight) / weight  # of coin 1 to coin 0 in units
    return units * proportion ** (weight - 1), units * proportion**weight
