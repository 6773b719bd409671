"""What a figure of impermanent loss was computed from: positions of the day, prices, fees. See `explained_metrics`."""

import math
from typing import TYPE_CHECKING, Any, Final

from portfolio_pipelines.commands.console import CommandError
from portfolio_pipelines.commands.explained_metrics import Explanation, Question, Value

if TYPE_CHECKING:
    import duckdb

OF_POSITIONS: Final = ("il_pct", "il_usd", "fees_usd", "net_usd", "hodl_value_usd", "position_value_usd", "price_ratio")
"""The figures of impermanent_loss; all but the last one also of impermanent_loss_totals."""
TOTALS: Final = "impermanent_loss_totals"
OF_ONE: Final = "impermanent_loss"
COLUMNS: Final = (
    "position_id", "label", "basis", "since", "protocol", "entry_price", "price", "price_ratio", "lower_price",
    "upper_price", "il_pct", "il_usd", "fees_usd", "net_usd", "hodl_value_usd", "position_value_usd", "chain", "pool",
)  # fmt: skip
PAIRS_WITHOUT_RANGE: Final = ("uniswap_v2", "sushiswap")
WEIGHTED: Final = "balancer_v2"
OF_A_PAIR: Final = "-100 * (sqrt(price ratio) - 1)^2 / (1 + price ratio)"
OF_WEIGHTS: Final = "100 * (price ratio^weight / (weight * price ratio + 1 - weight) - 1), weight of coin 0"


def explain_loss(marts: "duckdb.DuckDBPyConnection", question: Question) -> Explanation:
    """Work a figure out from the positions of the day, or from the prices and worths of one of them.

    Raises:
        CommandError: If there is no such position on the day.
    """
    found = marts.execute(
        f"select {', '.join(COLUMNS)} from marts.impermanent_loss "  # noqa: S608 names of ours
        "where user_id = ? and date = ? and is_last_of_day order by position_id",
        [question.user, question.day],
    ).fetchall()
    positions = [dict(zip(COLUMNS, row, strict=True)) for row in found]
    if question.position is None:
        return _of_all(positions, question.metric)
    chosen = [one for one in positions if one["position_id"] == question.position]
    if not chosen:
        known = ", ".join(str(one["position_id"]) for one in positions) or "none"
        msg = f"{question.user} has no position {question.position!r} on {question.day}; there are: {known}"
        raise CommandError(msg)
    return _of_one({**chosen[0], "weight0": weight_of_a_pair(marts, chosen[0])}, question.metric)


def _of_all(positions: list[dict[str, Any]], metric: str) -> Explanation:
    if metric == "price_ratio":
        msg = "a price ratio is one position's: add --position"
        raise CommandError(msg)
    known = [one for one in positions if one["il_usd"] is not None]
    inputs: list[tuple[str, Value]] = [
        (f"{one['label'] or one['position_id']}, {metric}", one[metric]) for one in known
    ]
    unknown = len(positions) - len(known)
    if unknown:
        inputs.append(("positions whose dollars are unknown: in no sum", unknown))
    if metric == "il_pct":
        lost, held = (sum(one[name] for one in known) for name in ("il_usd", "hodl_value_usd"))
        inputs += [("sum of il_usd", lost), ("sum of hodl_value_usd", held)]
        return Explanation("100 * sum of il_usd / sum of hodl_value_usd", inputs, 100 * lost / held if held else None)
    lacks = metric in {"fees_usd", "net_usd"} and any(one["fees_usd"] is None for one in known)
    total = None if lacks or not known else sum(one[metric] for one in known)
    return Explanation(f"sum of {metric} over the positions whose dollars are known", inputs, total)


def _of_one(one: dict[str, Any], metric: str) -> Explanation:
    begins: list[tuple[str, Value]] = [("compared with", one["basis"]), ("since", one["since"])]
    if metric == "price_ratio":
        inputs: list[tuple[str, Value]] = [("price at entry", one["entry_price"]), ("price now", one["price"])]
        known = one["price"] is not None and one["entry_price"]
        return Explanation(
            "price / price at entry", begins + inputs, one["price"] / one["entry_price"] if known else None
        )
    worth: list[tuple[str, Value]] = [
        ("worth of holding, USD", one["hodl_value_usd"]),
        ("worth in the pool without fees, USD", one["position_value_usd"]),
    ]
    if metric == "il_pct":
        return _percent(one, begins, worth)
    if metric == "il_usd":
        known = one["hodl_value_usd"] is not None and one["position_value_usd"] is not None
        lost = one["position_value_usd"] - one["hodl_value_usd"] if known else None
        return Explanation("worth in the pool without fees - worth of holding", begins + worth, lost)
    if metric == "net_usd":
        parts: list[tuple[str, Value]] = [("loss, USD", one["il_usd"]), ("fees, USD", one["fees_usd"])]
        known = one["il_usd"] is not None and one["fees_usd"] is not None
        return Explanation("loss + fees", begins + parts, one["il_usd"] + one["fees_usd"] if known else None)
    told = {
        "fees_usd": "fees of the position since the comparison began, at the prices now",
        "hodl_value_usd": "what was put in, at the prices now",
        "position_value_usd": "what the pool made of it, without fees, at the prices now: hodl_value_usd + il_usd",
    }[metric]
    if metric == "position_value_usd" and one["il_usd"] is not None:
        given: list[tuple[str, Value]] = [
            ("worth of holding, USD", one["hodl_value_usd"]),
            ("loss, USD", one["il_usd"]),
        ]
        return Explanation(told, begins + given, one["hodl_value_usd"] + one["il_usd"])
    return Explanation(told, begins + worth, None)


def weight_of_a_pair(marts: "duckdb.DuckDBPyConnection", one: dict[str, Any]) -> float | None:
    """Weight of coin 0 in a weighted pool of two that a user entered; it never changes."""
    if one["protocol"] != WEIGHTED:
        return None
    found = marts.execute(
        "select max(weight) filter (where position = 0) from marts.pool_states_daily "
        "where chain = ? and pool = ? group by date having count(*) = 2 order by date limit 1",
        [one["chain"], one["pool"]],
    ).fetchone()
    return None if found is None else found[0]


def _percent(one: dict[str, Any], begins: list[tuple[str, Value]], worth: list[tuple[str, Value]]) -> Explanation:
    """From the dollars where they are known, else from the ratio of prices; the ratio's own formula stands beside."""
    ratio = one["price_ratio"]
    inputs = [*begins, ("price ratio", ratio)]
    by_ratio, by_formula = None, OF_A_PAIR
    if ratio is not None and one["protocol"] in PAIRS_WITHOUT_RANGE and one["lower_price"] is None:
        by_ratio = -100 * (math.sqrt(ratio) - 1) ** 2 / (1 + ratio)
        inputs.append(("-100 * (sqrt(ratio) - 1)^2 / (1 + ratio), of a deposit that fits the pool", by_ratio))
    if ratio is not None and (weight := one["weight0"]) is not None:
        by_ratio, by_formula = 100 * (ratio**weight / (weight * ratio + 1 - weight) - 1), OF_WEIGHTS
        inputs += [("weight of coin 0", weight), (f"{OF_WEIGHTS}, of a deposit that fits the pool", by_ratio)]
    if one["il_usd"] is not None and one["hodl_value_usd"]:
        formula = "100 * (worth in the pool without fees / worth of holding - 1)"
        return Explanation(formula, inputs + worth, 100 * (one["position_value_usd"] / one["hodl_value_usd"] - 1))
    return Explanation(by_formula, inputs, by_ratio)
