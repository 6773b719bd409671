"""The performance report says what the marts say of exactly the days asked for, and what it does not know."""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
import pytest

from portfolio_pipelines.commands.explained_comparisons import explain_comparison
from portfolio_pipelines.commands.explained_metrics import Question, days_of_window, explain_metric
from portfolio_pipelines.delivery.reports.build import build_report
from portfolio_pipelines.delivery.reports.faults import ReportUnavailableError
from portfolio_pipelines.delivery.reports.performance import performance_payload
from portfolio_pipelines.delivery.reports.performance_tables import SHOWN, shown
from portfolio_pipelines.resources.figure_rules import FigureRules
from tests.integration.reports.report_marts import FIRST, ReportMarts

Text = Callable[[bytes], str]
RETURNS = [float(gain) for gain in np.random.default_rng(4).normal(0.001, 0.02, 200)]


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def cards_of(marts: ReportMarts, user: str, first: date, last: date, rate: float = 0.0) -> dict[str, tuple[str, ...]]:
    """Value and note of each card by its label."""
    with marts.warehouse.connect() as connection:
        payload, _ = performance_payload(connection, user, first, last, FigureRules(rate))
    return {
        card["label"]: tuple(card[part].replace("\u00a0", " ") for part in ("value", "note"))
        for card in payload["cards"]
    }


def notes_of(marts: ReportMarts, user: str, first: date, last: date) -> str:
    with marts.warehouse.connect() as connection:
        payload, _ = performance_payload(connection, user, first, last, FigureRules())
    return " ".join(payload["notes"])


@pytest.mark.parametrize(("first", "last", "window"), [(60, 199, 140), (-30, 199, 0), (0, 120, 0), (100, 129, 30)])
def test_every_figure_of_the_range_is_what_its_plain_definition_gives(
    marts: ReportMarts, text_of: Text, first: int, last: int, window: int
) -> None:
    """The definitions of `portfolio explain` share no code with the kernel; a range is a window of its length."""
    marts.add_portfolio("ann", RETURNS, deposits={90: 3_000.0, 110: 500.0})
    marts.add_benchmarks(day(-3), day(199))
    pdf = text_of(build_report(marts.warehouse, "ann", "performance", day(first), day(last), rules=FigureRules(0.03)))
    compared = 0
    with marts.warehouse.connect() as connection:
        for figure, label in SHOWN.items():
            question = Question("ann", day(last), figure, window, "BTC", 0.03)
            value = explain_metric(days_of_window(connection, question), question).recomputed
            if isinstance(value, float) and f"{label} – " not in pdf:
                assert f"{label} {shown(figure, value)}".replace("\u00a0", " ") in pdf, (figure, value)
                compared += 1
    assert compared >= (8 if last - first < 59 else 11)  # tails, XIRR and Calmar need longer windows


def test_benchmarks_are_compared_over_exactly_the_days_of_the_report(marts: ReportMarts, text_of: Text) -> None:
    marts.add_portfolio("ann", RETURNS)
    marts.add_benchmarks(day(-3), day(199))
    pdf = text_of(build_report(marts.warehouse, "ann", "performance", day(40), day(199)))
    with marts.warehouse.connect() as connection:
        for benchmark, name in (("BTC", "BTC"), ("ETH", "ETH"), ("SP500", "S&P 500")):
            figures = {}
            for figure in ("portfolio_roi", "benchmark_roi", "excess", "beta", "correlation", "up_capture"):
                question = Question("ann", day(199), figure, 160, benchmark, 0.0)
                figures[figure] = explain_comparison(
                    connection, days_of_window(connection, question), question
                ).recomputed
            returns = " ".join(f"{100 * figures[f]:+.2f} %" for f in ("portfolio_roi", "benchmark_roi", "excess"))
            row = f"{name} {returns} {figures['beta']:.2f} {figures['correlation']:.2f}".replace("-", "−")
            assert row in pdf


def test_the_windows_of_the_marts_stand_beside_the_range(marts: ReportMarts, text_of: Text) -> None:
    marts.add_portfolio("ann", RETURNS)
    figures = {
        "roi": 0.011, "twr": 0.022, "xirr": None, "volatility": 0.33, "sharpe": 1.44, "sortino": 2.55,
        "max_drawdown": -0.066, "calmar": None, "var_95": None, "cvar_95": None, "best_day": 0.077, "worst_day": -0.088,
    }  # fmt: skip
    reason = "xirr: less than 90 days; calmar: over 365 days only; var_95, cvar_95: fewer than 60 returns"
    for window, more in ((30, 0.0), (0, 0.5)):
        own = {name: None if value is None else value + more for name, value in figures.items()}
        row = {"user_id": "ann", "as_of": day(150), "window_days": window, "n_obs": 30, "reason": reason, **own}
        marts.add("portfolio_metrics", [row])
    marts.add("portfolio_metrics", [{"user_id": "ann", "as_of": day(200), "window_days": 30, "n_obs": 1, "twr": 9.99}])
    pdf = text_of(build_report(marts.warehouse, "ann", "performance", day(0), day(180)))
    assert "Figure This report 30 days Since start" in pdf
    for label, values in (
        ("Volatility, a year", "33.00 % 83.00 %"), ("Sharpe ratio", "1.44 1.94"), ("Best day", "+7.70 % +57.70 %"),
        ("Largest drawdown", "−6.60 % +43.40 %"), ("XIRR, a year", "– –"),
    ):  # fmt: skip
        assert values in pdf[pdf.index("Figure This report") :].partition(label)[2][:40], label
    assert "30 days: XIRR: less than 90 days; Calmar: over 365 days only; VaR 95, CVaR 95: fewer than 60 returns" in pdf
    assert f"are of {day(150).day} Jul 2024, the newest day of the range whose metrics were computed" in pdf
    assert "999.00" not in pdf


def test_a_short_history_says_why_figures_are_missing(marts: ReportMarts) -> None:
    marts.add_portfolio("ann", [0.01, -0.02, 0.01])
    cards = cards_of(marts, "ann", FIRST, day(2))
    assert cards["XIRR, a year"] == ("–", "less than 90 days")
    assert cards["VaR 95, one day"] == ("–", "fewer than 60 returns")
    assert cards["Calmar ratio"] == ("–", "over 365 days only")
    assert cards["Largest drawdown"] == ("−2.00 %", "1 Mar 2024 – 2 Mar 2024, not recovered")
    assert cards["Worst day"] == ("−2.00 %", "2 Mar 2024")
    assert cards["Gain of investments"] == ("−$3.02", "put in $10,000.00, taken out $0.00")


def test_value_and_gain_are_those_of_the_marts_at_both_ends(marts: ReportMarts) -> None:
    marts.add_portfolio("ann", [0.0, 0.1, 0.0, -0.5, 0.0], deposits={3: 9_000.0})
    cards = cards_of(marts, "ann", day(2), day(4))
    assert cards["Value at the close"] == ("$10,000.00", "5 Mar 2024, coverage 100.00 %")
    assert cards["Change of value"] == ("−$1,000.00", "since the close of 2 Mar 2024")
    assert cards["Gain of investments"] == ("−$10,000.00", "put in $9,000.00, taken out $0.00")
    assert cards["Time-weighted return"][0] == "−50.00 %"
    assert cards["Return on money put in"][0] == "−50.00 %"  # (10,000 - 20,000) / (11,000 + 9,000)


def test_gains_losses_and_poor_coverage_have_colours_and_nothing_has_none(marts: ReportMarts) -> None:
    marts.add_portfolio("ann", [0.0, 0.1, None, -0.5, 0.0], coverage={2: 0.0})
    with marts.warehouse.connect() as connection:
        payload, _ = performance_payload(connection, "ann", day(0), day(4), FigureRules())
    tones = {card["label"]: card["tone"] for card in payload["cards"]}
    assert tones["Time-weighted return"] == tones["Gain of investments"] == tones["Lowest coverage"] == "bad"
    assert tones["Best day"] == "good"
    with marts.warehouse.connect() as connection:
        payload, _ = performance_payload(connection, "ann", day(0), day(0), FigureRules())
    assert {card["tone"] for card in payload["cards"]} == {"plain"}


def test_returns_of_thousands_of_percent_fit_the_table_of_months(marts: ReportMarts, text_of: Text) -> None:
    marts.add_portfolio("ann", [0.0, 0.0, 1234.5])
    assert "2024 +123k %† +123k %†" in text_of(build_report(marts.warehouse, "ann", "performance", FIRST, day(2)))


def test_the_risk_free_rate_of_the_installation_counts(marts: ReportMarts) -> None:
    marts.add_portfolio("ann", RETURNS)
    free, costly = (cards_of(marts, "ann", FIRST, day(199), rate)["Sharpe ratio"][0] for rate in (0.0, 0.2))
    assert float(free.replace("−", "-")) > float(costly.replace("−", "-")) + 0.3


def test_months_are_cut_out_of_the_index(marts: ReportMarts, text_of: Text) -> None:
    marts.add_portfolio("ann", [0.0] * 30 + [0.25] + [0.0] * 30 + [-0.1] + [0.0] * 4)
    pdf = text_of(build_report(marts.warehouse, "ann", "performance", FIRST, day(65)))
    assert "2024 +25.0 % 0.0 % −10.0 %† +12.5 %†" in pdf  # March, April, May in part, the year in part


def test_holdings_of_the_newest_day_have_cost_and_gain(marts: ReportMarts, text_of: Text) -> None:
    marts.add_portfolio("ann", [0.0, 1.0])  # 8,500 USD of holdings at entry, worth 20,000
    marts.execute("update marts.portfolio_assets set price_status = 'stale', is_stale = true where token = 'SOL'")
    pdf = text_of(build_report(marts.warehouse, "ann", "performance", FIRST, day(1)))
    row = marts.row("select * from marts.portfolio_assets where token = 'ETH'")
    assert (
        f"ETH ethereum 1.2 $2,500.00 ${row['current_price_usd']:,.2f} ${row['value_usd']:,.2f} 35.3 % "
        f"+${row['pnl_usd']:,.2f}"
    ) in pdf
    assert "Total of what is priced $20,000.00" in pdf
    assert "SOL on solana (price: stale; balance not read on the day)" in pdf


def test_holdings_of_an_earlier_day_are_those_of_its_snapshot(marts: ReportMarts, text_of: Text) -> None:
    marts.add_portfolio("ann", [0.0, 1.0, 1.0])
    pdf = text_of(build_report(marts.warehouse, "ann", "performance", FIRST, day(1)))
    assert "Holdings at the close of 2 Mar 2024" in pdf
    assert "SOL solana 30 $235.29 $7,058.82 35.3 %" in pdf
    assert "Total of what is priced $20,000.00" in pdf
    assert "Average cost" not in pdf


def test_a_thousand_holdings_fill_pages_with_a_head_each_and_the_rest_is_summed(
    marts: ReportMarts, text_of: Text
) -> None:
    marts.add_portfolio("ann", [0.01], holdings=[(f"T{n:04}", "market", 1.0, 1_000.0 - n) for n in range(1_000)])
    marts.execute("update marts.portfolio_assets set value_usd = null where token >= 'T0990'")
    pdf = text_of(build_report(marts.warehouse, "ann", "performance", FIRST, FIRST))
    rest = marts.row("select sum(value_usd) as usd from marts.portfolio_assets where token >= 'T0300'")["usd"]
    assert pdf.count("Asset Chain Balance") >= 5
    assert "T0299" in pdf
    assert "T0300" not in pdf
    assert f"700 further holdings, together ${rest:,.2f}; 10 of them without a value." in pdf


def test_days_without_a_price_are_named_and_set_apart_in_the_picture(marts: ReportMarts) -> None:
    marts.add_portfolio("ann", [0.01, 0.01, None, None, 0.01, 0.02])
    with marts.warehouse.connect() as connection:
        payload, _ = performance_payload(connection, "ann", FIRST, day(5), FigureRules())
    notes = " ".join(payload["notes"])
    assert "2 days on which values rest on fresh prices and balances only in part: 3–4 Mar 2024" in notes
    assert "The lowest coverage is 80.00\u00a0% on 3 Mar 2024" in notes
    assert "Without a usable price, and therefore in no total: SOL on solana, 2 days (3–4 Mar 2024)" in notes
    assert "Coverage below 100 %" in payload["charts"]["value"]
    cards = {card["label"]: card for card in payload["cards"]}
    assert cards["Lowest coverage"]["value"] == "80.00\u00a0%"


def test_days_that_were_never_run_are_gaps_and_named(marts: ReportMarts) -> None:
    marts.add_portfolio("ann", [0.01] * 20)
    for table, column in (("portfolio_performance_daily", "date"), ("portfolio_snapshots", "snapshot_timestamp")):
        offset = 1 if column == "snapshot_timestamp" else 0
        marts.execute(f"delete from marts.{table} where {column} between ? and ?", [day(7 + offset), day(9 + offset)])
    notes = notes_of(marts, "ann", day(2), day(19))
    assert "3 days without any value: 8–10 Mar 2024. Charts show them as gaps." in notes
    cards = cards_of(marts, "ann", day(2), day(19))
    assert cards["Volatility, a year"] == ("–", "returns are missing within the window")


def test_a_complete_report_says_so(marts: ReportMarts) -> None:
    marts.add_portfolio("ann", [0.01] * 5)
    marts.execute("update marts.portfolio_snapshots set is_final = true")
    assert "All 5 days are valued, on fresh prices and balances in full (coverage 100 %)." in notes_of(
        marts, "ann", FIRST, day(4)
    )


def test_a_record_that_was_interrupted_is_not_compared_across(marts: ReportMarts) -> None:
    days = marts.add_portfolio("ann", [0.01] * 30)
    marts.execute(
        "update marts.portfolio_performance_daily set twr_index = 1.0, daily_return = null where date = ?", [days[10]]
    )
    cards = cards_of(marts, "ann", FIRST, days[-1])
    assert cards["Time-weighted return"] == ("–", "the track record was interrupted within the window")
    assert "a new one starts at the close of 11 Mar 2024" in notes_of(marts, "ann", FIRST, days[-1])
    assert cards_of(marts, "ann", days[11], days[-1])["Time-weighted return"][0] != "–"


def test_someone_with_wallets_alone_gets_values_and_no_invented_returns(marts: ReportMarts, text_of: Text) -> None:
    rows = [
        {"user_id": "wal", "total_value_usd": 100.0 + n, "assets": "[]", "coverage": 1.0, "is_final": True,
         "snapshot_timestamp": datetime.combine(day(n + 1), time())}
        for n in range(10)
    ]  # fmt: skip
    marts.add("portfolio_snapshots", rows)
    pdf = text_of(build_report(marts.warehouse, "wal", "performance", FIRST, day(9)))
    assert "Value at the close $109.00" in pdf
    assert "Time-weighted return – no investments in the range" in pdf
    assert "Return and risk by window" not in pdf
    assert "figures of return and risk rest on them alone" in pdf


def test_a_ledger_shows_what_it_gained_over_the_range_by_asset(marts: ReportMarts, text_of: Text) -> None:
    marts.add_portfolio("ann", [0.01] * 10)
    ledger = {"user_id": "ann", "scope": "universal", "method": "fifo"}
    for number, realised, unrealised, income in ((4, 100, 50, 10), (9, 400, -25, 17)):
        pnl = realised + unrealised + income
        row = {
            "date": day(number), "realised_usd": Decimal(realised), "income_usd": Decimal(income),
            "expense_usd": Decimal(0), "unrealised_usd": Decimal(unrealised), "pnl_usd": Decimal(pnl),
            "unpriced_assets": 0, "incomplete_uses": number,
        }  # fmt: skip
        marts.add("profit_and_loss", [ledger | row, ledger | row | {"method": "lifo", "pnl_usd": Decimal(777)}])
    sold = {"asset_id": "file:ETH", "proceeds_usd": 900.0, "cost_usd": 600.0, "realised_usd": 300.0}
    marts.add(
        "realised_pnl",
        [
            ledger | sold | {"date": day(7), "incomplete_uses": 1},
            ledger | sold | {"date": day(3), "incomplete_uses": 0},
        ],
    )
    held = {"as_of": day(9), "asset_id": "file:BTC", "cost_usd": 525.0, "value_usd": 500.0, "unrealised_usd": -25.0}
    marts.add("unrealised_pnl", [ledger | held])
    pdf = text_of(build_report(marts.warehouse, "ann", "performance", day(5), day(9)))
    assert "Lots: first in, first out, all venues sharing their lots." in pdf
    for line in (
        "Realised by disposals +$300.00", "Earned as income +$7.00", "Change of what is unrealised −$75.00",
        "Profit and loss +$232.00", "ETH $900.00 $600.00 +$300.00* – – –",
        "BTC $0.00 $0.00 $0.00 $525.00 $500.00 −$25.00", "5 disposals of the ledger in the range rest on something",
    ):  # fmt: skip
        assert line in pdf
    assert "777" not in pdf


def test_days_that_do_not_exist_are_left_out_and_said(marts: ReportMarts, text_of: Text) -> None:
    marts.add_portfolio("ann", [0.01] * 10)
    pdf = text_of(build_report(marts.warehouse, "ann", "performance", date(2020, 1, 1), date(2030, 1, 1)))
    assert "Portfolio of ann 1 Mar 2024 – 10 Mar 2024" in pdf
    assert "Asked for from 1 Jan 2020 on; there is nothing before 1 Mar 2024" in pdf
    assert "no day after 10 Mar 2024 is valued yet" in pdf


def test_who_is_unknown_and_what_is_empty_is_said_with_a_way_out(marts: ReportMarts) -> None:
    marts.add_portfolio("ann", [0.01] * 10)
    with pytest.raises(ReportUnavailableError, match=r"no day of the user 'bob'.*portfolio run"):
        build_report(marts.warehouse, "bob", "performance", FIRST, day(9))
    with pytest.raises(
        ReportUnavailableError, match=r"2030-01-01 and 2030-01-31: the marts have 2024-03-01 to 2024-03-10"
    ):
        build_report(marts.warehouse, "ann", "performance", date(2030, 1, 1), date(2030, 1, 31))


def test_all_faults_of_the_arguments_are_told_at_once(marts: ReportMarts) -> None:
    with pytest.raises(ValueError, match=r"no report 'tax'.*no paper 'a5'.*range is empty"):
        build_report(marts.warehouse, "ann", "tax", day(2), day(1), paper="a5")  # type: ignore[arg-type]


def test_without_a_finished_build_there_is_no_report(marts: ReportMarts) -> None:
    marts.add_portfolio("ann", [0.01] * 10)
    marts.execute("drop table meta.build")
    with pytest.raises(ReportUnavailableError, match="no finished build"):
        build_report(marts.warehouse, "ann", "performance", FIRST, day(9))
    marts.path.unlink()
    with pytest.raises(FileNotFoundError, match="portfolio run"):
        build_report(marts.warehouse, "ann", "performance", FIRST, day(9))
