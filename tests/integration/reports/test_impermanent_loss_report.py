"""The impermanent loss report says what the marts say of each position and of all, and what nobody knows."""

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta

import pytest

from portfolio_pipelines.delivery.reports.build import build_report
from portfolio_pipelines.delivery.reports.faults import ReportUnavailableError
from portfolio_pipelines.delivery.reports.liquidity import liquidity_payload
from tests.integration.reports.report_marts import FIRST, ReportMarts

Text = Callable[[bytes], str]
PAIR, RANGE, OLD = "0x" + "f0" * 20, "0x" + "30" * 20, "0x" + "0d" * 20
WETH_USDC = ("WETH", "USDC")


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def position(
    number: int, pool: str, hold: float | None, loss: float, fees: float | None, **more: object
) -> dict[str, object]:
    """A row of a day: `loss` in percent of `hold` USD."""
    il_usd = None if hold is None else hold * loss / 100
    net = None if il_usd is None or fees is None else il_usd + fees
    reason = "deposit_unknown" if hold is None else None if fees is not None else "fees_unknown"
    return {
        "user_id": "ann", "date": day(number), "position_id": f"ethereum/{pool}", "is_last_of_day": True,
        "as_of": datetime.combine(day(number), time(23)), "source": "read", "basis": "first_read", "since": FIRST,
        "chain": "ethereum", "protocol": "uniswap_v2", "pool": pool, "label": None, "entry_price": 2_000.0,
        "price": 2_500.0, "price_ratio": 1.25, "lower_price": None, "upper_price": None, "in_range": None,
        "il_pct": loss, "il_usd": il_usd, "fees_usd": fees, "net_usd": net, "hodl_value_usd": hold,
        "position_value_usd": None if hold is None or il_usd is None else hold + il_usd, "reason": reason,
        "is_stale": False, **more,
    }  # fmt: skip


OF_RANGE: Mapping[str, object] = {
    "protocol": "uniswap_v3", "label": "my range", "basis": "entry_price", "lower_price": 1_800.0,
    "upper_price": 2_400.0, "in_range": False,
}  # fmt: skip


@pytest.fixture
def pools(marts: ReportMarts) -> ReportMarts:
    """Five days: a pair all along, a range whose dollars nobody knows, one that ended; the third day was not read."""
    rows = []
    for number in (0, 1, 3, 4):
        rows.append(position(number, PAIR, 10_000.0, -1.0 * number, 20.0 * number))
        rows.append(position(number, RANGE, None, -8.0, None, **OF_RANGE))
        if number < 3:
            rows.append(position(number, OLD, 500.0, -2.0, 1.0))
    rows.append(position(4, PAIR, 9_999.0, -9.0, 9.0, is_last_of_day=False))  # an hour of the day, in no report
    marts.add("impermanent_loss", rows)
    marts.execute(
        "insert into marts.impermanent_loss_totals by name select date, user_id, "
        "100 * sum(il_usd) / sum(hodl_value_usd) as il_pct, sum(il_usd) as il_usd, sum(fees_usd) as fees_usd, "
        "sum(net_usd) as net_usd, sum(hodl_value_usd) as hodl_value_usd, "
        "sum(position_value_usd) as position_value_usd, count(*) as positions, "
        "count(*) filter (il_usd is null) as positions_without_usd, "
        "count(*) filter (not in_range) as positions_out_of_range, bool_or(is_stale) as is_stale "
        "from marts.impermanent_loss where is_last_of_day group by all"
    )
    coins = [
        {"date": FIRST, "chain": "ethereum", "pool": pool, "position": place, "token": token}
        for pool in (PAIR, RANGE)
        for place, token in enumerate(WETH_USDC)
    ]
    marts.add("pool_states_daily", coins)
    return marts


def report(marts: ReportMarts, text_of: Text, first: date = FIRST, last: date | None = None) -> str:
    return text_of(build_report(marts.warehouse, "ann", "il", first, last or day(4), paper="us-letter"))


def test_totals_and_positions_are_those_of_the_last_close(pools: ReportMarts, text_of: Text) -> None:
    pdf = report(pools, text_of)
    for text in (
        "Impermanent loss −$400.00 1 of 2 positions in dollars", "In percent of holding −4.00 %",
        "Fees earned +$80.00", "Net against holding −$320.00", "Worth if held $10,000.00",
        "Worth in the pools $9,600.00", "Out of range 1",
        "Total in dollars $10,000.00 $9,600.00 −4.00 % −$400.00 +$80.00 −$320.00",
    ):  # fmt: skip
        assert text in pdf, text
    positions = pdf[pdf.index("Positions at the close") : pdf.index("Prices and ranges")]
    assert "WETH/USDC Uniswap v2 on ethereum first read since 1 Mar 2024 $10,000.00 $9,600.00 −4.00 %" in positions
    assert "– – −8.00 % – – –" in positions
    assert "$9,999" not in pdf


def test_prices_ranges_and_reasons_stand_by_each_position(pools: ReportMarts, text_of: Text) -> None:
    pdf = report(pools, text_of)
    assert "WETH/USDC 2,000 2,500 1.2500" in pdf
    assert "my range 2,000 2,500 1.2500 1,800 – 2,400, out of range deposit unknown" in pdf
    assert "Figures that are unknown: my range: deposit unknown." in pdf


def test_a_position_that_ended_stands_apart_with_its_last_figures(pools: ReportMarts, text_of: Text) -> None:
    pdf = report(pools, text_of)
    ended = pdf[pdf.index("Positions that ended in the range") :]
    assert "0x0d0d…0d0d Uniswap v2 on ethereum first read since 1 Mar 2024 $500.00 $490.00 −2.00 %" in ended
    assert "1 position of the range is not there at its last close" in ended


def test_days_without_a_read_are_gaps_and_named(pools: ReportMarts, text_of: Text) -> None:
    assert "1 day without any read: 3 Mar 2024. Charts show them as gaps." in report(pools, text_of)
    with pools.warehouse.connect() as connection:
        payload, _ = liquidity_payload(connection, "ann", FIRST, day(4))
    assert payload["charts"]["percent"].count('fill="none"') == 2  # a line before the gap and one after it
    assert [one["title"] for one in payload["pictures"]] == ["my range (WETH/USDC)", "WETH/USDC", "0x0d0d…0d0d"]


def test_unknown_fees_make_the_net_unknown_and_are_named(pools: ReportMarts, text_of: Text) -> None:
    pools.execute("update marts.impermanent_loss_totals set fees_usd = null, net_usd = null where date = ?", [day(4)])
    pdf = report(pools, text_of)
    assert "Fees earned – fees of a position are not known" in pdf
    assert "Net against holding –" in pdf
    assert "1 day on which the fees of a position are unknown, and so fees and net of all: 5 Mar 2024" in pdf


def test_a_range_is_cut_to_the_days_that_are_known(pools: ReportMarts, text_of: Text) -> None:
    pdf = report(pools, text_of, day(1), date(2030, 1, 1))
    assert "Portfolio of ann 2 Mar 2024 – 5 Mar 2024" in pdf
    assert "Asked for until 1 Jan 2030; no day after 5 Mar 2024" in pdf


def test_someone_without_pools_is_told_how_to_get_a_report(pools: ReportMarts) -> None:
    with pytest.raises(ReportUnavailableError, match=r"no position in a pool of the user 'bob'.*liquidity-positions"):
        build_report(pools.warehouse, "bob", "il", FIRST, day(4))
    with pytest.raises(ReportUnavailableError, match="the marts have 2024-03-01 to 2024-03-05"):
        build_report(pools.warehouse, "ann", "il", day(10), day(20))
