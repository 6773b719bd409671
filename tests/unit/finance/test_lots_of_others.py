"""Ledgers that others published with their results: HMRC's manual, and the golden files of rp2."""

import json
import os
from collections import defaultdict
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from portfolio_pipelines.finance.lots_uk import TokenDay, UkDisposal, match_uk
from tests.unit.finance.ledgers import row, settle

ROOT = Path(__file__).parents[3]
SHARED = (ROOT / os.environ.get("PORTFOLIO_SHARED_DATA", "../shared/data")).resolve() / "ledgers"


def hmrc(*events: tuple[str, str, str, str]) -> tuple[list[UkDisposal], Fraction, Fraction]:
    """Events are (day, buy or sell, quantity, pounds)."""
    days: dict[date, list[Fraction]] = defaultdict(lambda: [Fraction(0)] * 4)
    for day, what, quantity, pounds in events:
        entry = days[date.fromisoformat(day)]
        place = 0 if what == "buy" else 2
        entry[place] += Fraction(quantity)
        entry[place + 1] += Fraction(pounds)
    return match_uk([TokenDay(day, *amounts) for day, amounts in days.items()])


def test_hmrc_22251_the_pool_alone_is_average_cost() -> None:
    events = (
        ("2020-01-01", "buy", "100", "1000"),
        ("2020-09-18", "buy", "50", "125000"),
        ("2020-12-01", "sell", "50", "300000"),
    )
    disposals, pool, cost = hmrc(*events)
    assert (disposals[0].cost, disposals[0].gain, pool, cost) == (42000, 258000, 100, 84000)
    rows = [
        row(day, "trade", came=f"{n} A", went=f"{usd} USD")
        if what == "buy"
        else row(day, "trade", came=f"{usd} USD", went=f"{n} A")
        for day, what, n, usd in events
    ]
    found = settle(*rows, method="average")
    assert (found.realised, found.held("A")) == (Decimal(258000), (Decimal(100), Decimal(84000)))


def test_hmrc_22252_the_same_day_comes_first() -> None:
    disposals, pool, cost = hmrc(
        ("2020-01-01", "buy", "5000", "500"),
        ("2020-06-23", "sell", "1000", "800"),
        ("2020-06-23", "buy", "1600", "1000"),
        ("2020-06-23", "sell", "500", "600"),
    )
    assert disposals[0].gain == Fraction(925, 2)  # 462.50, which the manual prints as 462
    assert (pool, cost) == (5100, Fraction(1125, 2))


def test_hmrc_22253_then_the_thirty_days_after() -> None:
    disposals, pool, _ = hmrc(
        ("2020-01-01", "buy", "2000", "1000"),
        ("2020-03-31", "sell", "1000", "400"),
        ("2020-04-20", "sell", "500", "150"),
        ("2020-04-21", "buy", "700", "175"),
        ("2020-04-28", "buy", "500", "100"),
    )
    assert [disposal.gain for disposal in disposals] == [400 - 175 - 60, 150 - 40 - 150]
    assert pool == 1700


def test_hmrc_22255_beyond_what_the_thirty_days_brought_the_pool() -> None:
    disposals, pool, cost = hmrc(
        ("2020-01-01", "buy", "14000", "200000"),
        ("2020-08-30", "sell", "4000", "160000"),
        ("2020-09-11", "buy", "500", "17500"),
    )
    assert disposals[0].gain == 92500
    assert (pool, cost) == (10500, 150000)


def test_hmrc_22256_all_three_rules() -> None:
    disposals, _, _ = hmrc(
        ("2020-01-01", "buy", "100000", "300000"),
        ("2020-07-31", "buy", "10000", "45000"),
        ("2020-07-31", "sell", "30000", "150000"),
        ("2020-08-05", "sell", "20000", "100000"),
        ("2020-08-06", "buy", "50000", "225000"),
        ("2020-08-07", "sell", "100000", "150000"),
    )
    assert [round(disposal.gain) for disposal in disposals] == [15000, 10000, -163636]


def test_a_day_that_is_there_twice_is_refused_and_what_was_never_bought_is_said() -> None:
    with pytest.raises(ValueError, match="twice"):
        match_uk([TokenDay(date(2020, 1, 1)), TokenDay(date(2020, 1, 1))])
    disposals, _, _ = hmrc(("2020-01-01", "sell", "5", "10"))
    assert (disposals[0].missing, disposals[0].gain) == (5, 10)


TYPES = {"BUY": "trade", "INTEREST": "reward", "SELL": "trade", "GIFT": "gift_sent", "DONATE": "gift_sent"}


def rp2_rows(asset: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for entry in asset["in"] or []:
        paid, at = entry["fiat_in_no_fee"], entry["timestamp"][:19]
        kind, fee = TYPES[entry["type"]], f"{entry['fiat_fee'] or 0} USD"
        fee_cell = {} if fee == "0 USD" else {"fee": fee}
        went = {"went": f"{paid} USD"} if kind == "trade" else {"value": str(paid)}
        rows.append(row(at, kind, came=f"{entry['crypto_in']} X", **went, **fee_cell))
    for entry in asset["out"] or []:
        kind, money = TYPES[entry["type"]], entry["fiat_out"]
        came = {"came": f"{money} USD"} if kind == "trade" else {"value": str(money)}
        fee = {"fee": f"{entry['crypto_fee']} X", "fee_value": str(entry["fiat_fee"])} if entry["crypto_fee"] else {}
        rows.append(row(entry["timestamp"][:19], kind, went=f"{entry['crypto_out']} X", **came, **fee))
    for entry in asset["intra"] or []:
        sent, got = Decimal(str(entry["crypto_sent"])), Decimal(str(entry["crypto_received"]))
        value = {"value": str(sent * Decimal(str(entry["spot_price"])))} if entry["spot_price"] else {}
        rows.append(
            row(entry["timestamp"][:19], "transfer", went=f"{sent} X", came=f"{got} X", to_venue="other", **value)
        )
    return rows


@pytest.mark.skipif(not (SHARED / "rp2").is_dir(), reason="PORTFOLIO_SHARED_DATA has no ledgers/rp2")
@pytest.mark.parametrize("method", ["fifo", "lifo", "hifo"])
@pytest.mark.parametrize("name", ["test_data.json", "crypto_example.json"])
def test_the_golden_files_of_rp2(name: str, method: str) -> None:
    compared = 0
    for asset in json.loads((SHARED / "rp2" / name).read_text()).values():
        found = settle(*rp2_rows(asset), method=method)  # type: ignore[arg-type]
        expected = asset["expected"][method]["yearly"]
        earned = ("INTEREST", "MINING", "STAKING", "AIRDROP", "INCOME", "HARDFORK", "WAGES")
        gains = sum(Decimal(str(line["capital_gains"])) for line in expected if line["type"] not in earned)
        income = sum(Decimal(str(line["capital_gains"])) for line in expected if line["type"] in earned)
        basis = sum(Decimal(str(line["fiat_cost_basis"])) for line in expected if line["type"] not in earned)
        assert float(found.realised) == pytest.approx(float(gains), abs=0.01)
        assert float(found.total("income_usd")) == pytest.approx(float(income), abs=0.01)
        assert float(found.uses["cost_usd"].sum()) == pytest.approx(float(basis), abs=0.01)
        lines = [line for line in asset["expected"][method]["balances"] if line["exchange"] != "Total"]
        assert found.held("X")[0] == sum(Decimal(str(line["final"])) for line in lines)
        compared += len(expected)
    assert compared > 0
