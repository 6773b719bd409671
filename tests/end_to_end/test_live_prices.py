"""Prices from live providers, which a loopback server plays: who priced each day, and what happens when they fail."""

import importlib.util
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from portfolio_pipelines.market.providers import build_providers
from portfolio_pipelines.resources import market_data

TODAY = datetime.now(UTC).date()
FIRST = TODAY - timedelta(days=40)
HEADER = "user_id,investment_id,invested_at,asset,amount_usd,quantity\n"
INVESTMENTS = f"""\
{HEADER}ann,majors,{FIRST},BTC,6000,
ann,majors,{FIRST},SOL,4000,
ben,lending,{FIRST + timedelta(days=10)},AAVE,1000,
"""
PROVIDERS = ("coingecko", "defillama", "yahoo")
QUICK = {f"PORTFOLIO_{name.upper()}_PER_MINUTE": "100000" for name in PROVIDERS}


def load_loopback() -> ModuleType:
    """The server of the providers' own tests."""
    path = Path(__file__).parents[1] / "integration/market/conftest.py"
    spec = importlib.util.spec_from_file_location("loopback_market", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LOOPBACK = load_loopback()


@pytest.fixture(scope="module", autouse=True)
def clock() -> Iterator[Any]:
    """The providers' clock: it begins now, and their pauses move it on at once."""
    clock = LOOPBACK.VirtualClock(datetime.now(UTC))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(market_data, "build_providers", partial(build_providers, clock=clock, sleep=clock.sleep))
        yield clock


@pytest.fixture(scope="module")
def market(clock: Any) -> Iterator[Any]:
    """The server. DefiLlama sees AAVE a tenth higher than CoinGecko; Yahoo has none."""
    behaviour = LOOPBACK.Market(clock)
    behaviour.per_minute = 1_000_000
    point = behaviour._point

    def biased(name: str, at: int) -> dict[str, Any]:
        true: dict[str, Any] = point(name, at)
        return true | {"price": true["price"] * 1.1} if name == "coingecko:aave" else true

    behaviour._point = biased
    with LOOPBACK.serve(behaviour):
        yield behaviour


def addresses(url: str) -> dict[str, str]:
    return {
        "PORTFOLIO_PRICE_PROVIDERS": ",".join(PROVIDERS),
        "PORTFOLIO_COINGECKO_URL": f"{url}/coingecko/api/v3",
        "PORTFOLIO_DEFILLAMA_URL": f"{url}/defillama",
        "PORTFOLIO_YAHOO_URL": f"{url}/yahoo",
    } | QUICK


@pytest.fixture(scope="module")
def live(install: Callable[..., Any], market: Any) -> Any:
    """Forty closed days and the running one."""
    home = install("live", **addresses(market.url))
    home.does("import", "investments", home.write("investments.csv", INVESTMENTS))
    home.said = home.does("run", "--to", TODAY)
    return home


def prices(home: Any, asset: str) -> dict[date, dict[str, Any]]:
    rows = home.rows(f"select * from prices_daily where asset_id = '{asset}' and date >= '{FIRST}' order by date")
    return {date.fromisoformat(row["date"]): row for row in rows}


def test_every_day_has_the_true_close_and_names_who_gave_it(live: Any) -> None:
    for day, row in prices(live, "coingecko:solana").items():
        assert (row["status"], row["provider"], row["n_quotes"]) == ("ok", "coingecko", 3), day
        assert row["source"] == ("simple/price" if day == TODAY else "coins/market_chart/range")
        assert row["disagreement"] < 0.01
        if day < TODAY:  # not shifted by a day, as the history of CoinGecko would be when read naively
            assert row["close_usd"] == pytest.approx(LOOPBACK.close_of("solana", day), rel=1e-9)


def test_no_day_is_missing(live: Any) -> None:
    expected = [FIRST + timedelta(days=n) for n in range((TODAY - FIRST).days + 1)]
    assert list(prices(live, "coingecko:bitcoin")) == expected
    row = live.row(
        "select count(*) as days, min(coverage) as low from portfolio_performance_daily where user_id = 'ann'"
    )
    assert row == {"days": len(expected), "low": 1.0}


def test_the_last_two_days_are_not_final_and_those_before_are(live: Any) -> None:
    final = {day: row["is_final"] for day, row in prices(live, "coingecko:bitcoin").items()}
    assert [final.pop(TODAY), final.pop(TODAY - timedelta(days=1))] == [False, False]
    assert set(final.values()) == {True}
    rows = live.rows("select date, is_final from portfolio_performance_daily where user_id = 'ann'")
    assert {date.fromisoformat(row["date"]) for row in rows if not row["is_final"]} == {
        TODAY,
        TODAY - timedelta(days=1),
    }


def test_providers_that_disagree_are_flagged_and_the_first_of_them_is_taken(live: Any) -> None:
    for day, row in prices(live, "coingecko:aave").items():
        assert (row["status"], row["provider"], row["n_quotes"]) == ("disagreement", "coingecko", 2), day
        assert row["disagreement"] == pytest.approx(0.1, rel=1e-3)
        assert "differ by 10.0%" in row["reason"]
    row = live.row(
        "select max(coverage) as high, min(value_usd) as low from portfolio_performance_daily where user_id = 'ben'"
    )
    assert row["high"] < 1
    assert row["low"] > 0


def test_the_index_has_a_close_on_trading_days_alone(live: Any) -> None:
    assert all(day.weekday() < 5 for day in prices(live, "yahoo:^GSPC"))
    days = live.row(f"select count(*) as n from benchmarks_daily where benchmark = 'SP500' and date >= '{FIRST}'")
    assert days["n"] == (TODAY - FIRST).days + 1


def test_only_days_that_are_not_final_are_asked_for_again(live: Any, market: Any) -> None:
    asked = len(market.addresses)
    live.does("run", "--to", TODAY)
    starts = [re.search(r"(?:period1|from)=(\d+)", address) for address in market.addresses[asked:]]
    days = [datetime.fromtimestamp(int(found.group(1)), UTC).date() for found in starts if found]
    assert days
    assert min(days) == TODAY - timedelta(days=1)


@pytest.fixture(scope="module")
def broken(install: Callable[..., Any], market: Any, price_csv: Callable[..., str]) -> Iterator[Any]:
    """Real prices from a file until ten days ago; every provider answers 500 from then on."""
    home = install("broken", **addresses(market.url))
    known = [(FIRST + timedelta(days=n), coin, 100.0 + n) for n in range(31) for coin in ("BTC", "SOL", "AAVE", "ETH")]
    home.does("import", "prices", home.write("prices.csv", price_csv(known)))
    market.fault = lambda _path: (500, b'{"error": "out of order"}')
    try:
        home.does("import", "investments", home.write("investments.csv", INVESTMENTS))
        home.said = home.does("run", "--to", TODAY - timedelta(days=5))
        yield home
    finally:
        market.fault = lambda _path: None


def test_providers_that_fail_are_told_and_the_run_goes_on(broken: Any) -> None:
    assert all(name in broken.said for name in PROVIDERS)
    assert "unreachable" in broken.said
    assert "SAMPLE" not in broken.said


def test_days_without_an_answer_carry_the_last_close_with_a_falling_coverage(broken: Any) -> None:
    rows = prices(broken, "coingecko:bitcoin")
    known_until = FIRST + timedelta(days=30)
    for day, row in rows.items():
        if day <= known_until:
            assert (row["status"], row["provider"], row["source"]) == ("ok", "file", "prices.csv")
        else:
            assert (row["status"], row["close_usd"]) == ("stale", 130.0)
            assert all(f"{name}: unreachable" in row["reason"] for name in PROVIDERS)
    coverage = broken.rows("select date, coverage from portfolio_performance_daily where user_id = 'ann' order by date")
    assert {row["coverage"] for row in coverage if row["date"] <= str(known_until)} == {1.0}
    assert {row["coverage"] for row in coverage if row["date"] > str(known_until)} == {0.0}


def test_the_sample_market_never_mixes_with_real_prices(broken: Any) -> None:
    assert broken.rows("select * from prices_daily where provider = 'sample' or source = 'sample'") == []


@pytest.fixture(scope="module")
def offline(install: Callable[..., Any], market: Any) -> Iterator[Any]:
    """A newcomer without network: no provider answers, and there is no price file."""
    home = install("offline", **addresses(market.url))
    market.fault = lambda _path: (500, b"")
    try:
        home.said = home.does("quickstart", "--days", 20)
        yield home
    finally:
        market.fault = lambda _path: None


def test_a_market_that_nobody_quoted_is_labelled_sample_in_the_output(offline: Any) -> None:
    assert "The prices are those of the SAMPLE market, not real ones." in offline.said
    assert "empty quantities were derived from the SAMPLE market" in offline.said
    assert "Closes by source: sample" in offline.said


def test_a_sample_price_is_labelled_in_every_row(offline: Any) -> None:
    rows = offline.rows(
        "select provider, source, count(*) as n from prices_daily where close_usd is not null group by all"
    )
    assert [(row["provider"], row["source"]) for row in rows] == [("sample", "sample")]
    derived = offline.sql("select distinct price_source from app.investment_legs where quantity_source = 'derived'")
    assert derived == [("sample",)]


@pytest.fixture(scope="module")
def partly(install: Callable[..., Any], offline: Any, price_csv: Callable[..., str]) -> Any:
    """The newcomer gives real closes of Bitcoin for the last two days alone, and one purchase whose units are known."""
    home = install("partly", like=offline)
    recent = [(TODAY - timedelta(days=back), "BTC", 90_000.0) for back in (1, 2)]
    home.does("import", "prices", home.write("real.csv", price_csv(recent)))
    known = f"{HEADER}ann,known,{TODAY - timedelta(days=2)},BTC,100,0.001\n"
    home.does("import", "investments", home.write("known.csv", known))
    home.said = home.does("run")
    return home


def test_what_still_rests_on_the_sample_is_said_by_run_doctor_and_a_check(partly: Any) -> None:
    for said in (partly.said, partly.portfolio("doctor").stdout):
        assert "19 coins of 5 users still rest on the SAMPLE market" in said
        assert "portfolio import prices FILE" in said
    check = "investment_legs:no_quantity_rests_on_the_sample_market"
    assert partly.row(f"select status from data_quality_scorecard where metric = 'check:{check}'") == {"status": "warn"}
    details = partly.sql(f"select details::text from app.check_results where check_name = '{check.split(':')[1]}'")
    assert "coingecko:bitcoin of ann (" in details[-1][0]


def test_no_figure_that_rests_on_an_invented_quantity_looks_real(partly: Any) -> None:
    worth = partly.rows("select distinct user_id, investment_id from investment_performance_daily where value_usd > 0")
    assert worth == [{"user_id": "ann", "investment_id": "known"}]
    assert (
        partly.rows("select * from investment_performance_daily where investment_id <> 'known' and coverage > 0") == []
    )
    units = "select balance::double as units, entry_price_usd::double as entry, value_usd::double as worth from {}"
    bitcoin = " where user_id = 'ann' and token = 'BTC' and asset_id {} 'sample:%'"
    assets = units.format("portfolio_assets")
    assert partly.row(assets + bitcoin.format("not like")) == {"units": 0.001, "entry": 100_000.0, "worth": 90.0}
    assert partly.row(assets + bitcoin.format("like")) == {"units": None, "entry": None, "worth": None}
    named = partly.rows(
        "select distinct balance, value_usd, pnl_usd from portfolio_assets where asset_id like 'sample:%'"
    )
    assert named == [{"balance": None, "value_usd": None, "pnl_usd": None}]
    assert partly.sql("select count(*) from marts.portfolio_assets where balance > 0 and origin = 'investment'") == [
        (1,)
    ]


def test_a_total_counts_what_is_invented_at_its_cost_and_as_not_known(partly: Any) -> None:
    yesterday = TODAY - timedelta(days=1)
    row = partly.row(f"select * from portfolio_performance_daily where user_id = 'ann' and date = '{yesterday}'")
    assert (row["value_usd"], row["pnl_usd"], row["twr_index"]) == (90.0, None, None)
    assert row["coverage"] == pytest.approx(90 / (90 + row["invested_usd"] - 100))
    explained = partly.does("explain", "ann", yesterday, "portfolio_performance_daily.coverage")
    assert "= served" in explained
    for metric in ("value_usd", "pnl_usd", "daily_return"):
        said = partly.does("explain", "ann", yesterday, metric)
        assert "an unknown number of sample:coingecko:bitcoin" in said
        assert "DIFFERS" not in said
    cut = partly.row("select coverage from portfolio_breakdown where user_id = 'ann' and key = 'investment'")
    assert cut["coverage"] == pytest.approx(row["coverage"])


def test_quantities_or_closes_end_the_sample_for_good(
    install: Callable[..., Any], partly: Any, price_csv: Callable[..., str]
) -> None:
    home = install("healed", like=partly)
    wanted = home.platform.database.sample_legs().closes
    (named,) = home.sql(
        "select i.investment_id from app.investment_legs join app.investments i using (investment_key)"
        " join app.users using (user_key) where user_id = 'dan' limit 1"
    )
    legs = home.sql(
        "select user_id, investment_id, (invested_at at time zone 'UTC')::date, asset_id, amount_usd, 2"
        " from app.investment_legs join app.investments using (investment_key) join app.users using (user_key)"
        f" where user_id = 'dan' and investment_id = '{named[0]}'"
    )
    rows = "".join(f"{','.join(map(str, leg))}\n" for leg in legs)
    home.does("import", "investments", home.write("given.csv", HEADER + rows))
    assert home.platform.database.sample_legs().legs == 19 - len(legs)
    home.does("import", "prices", home.write("closes.csv", price_csv([(day, name, 50.0) for name, day in wanted])))
    said = home.does("run")
    assert "SAMPLE" not in said
    assert home.rows("select * from portfolio_assets where asset_id like 'sample:%'") == []
    assert home.sql(
        "select count(*) from app.investment_legs where superseded_at is null and price_source = 'sample'"
    ) == [(0,)]


def test_the_first_real_prices_replace_the_sample_everywhere(offline: Any, price_csv: Callable[..., str]) -> None:
    symbols = ["BTC", "ETH", "SOL", "LINK", "ADA", "POL", "AVAX", "ARB", "OP", "LTC", "BNB", "UNI", "AAVE"]
    real = [(TODAY - timedelta(days=back), symbol, 50.0 + back / 1000) for back in range(1, 420) for symbol in symbols]
    offline.does("import", "prices", offline.write("real.csv", price_csv(real)))
    yesterday = TODAY - timedelta(days=1)
    said = offline.does("run", "--from", yesterday, "--to", yesterday)  # a single day, and yet nothing stays mixed
    assert "SAMPLE" not in said
    assert offline.rows("select * from prices_daily where provider = 'sample' or source = 'sample'") == []
    assert offline.sql(
        "select distinct price_source from app.investment_legs"
        " where quantity_source = 'derived' and superseded_at is null"
    ) == [("file",)]
    row = offline.row(
        f"select value_usd from portfolio_performance_daily where user_id = 'dan' and date = '{yesterday}'"
    )
    assert row["value_usd"] == pytest.approx(1_500, rel=0.01)
