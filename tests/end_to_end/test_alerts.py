"""Alerts of a whole installation without any daemon: a run at the terminal publishes, evaluates and tells."""

from collections.abc import Callable
from datetime import date
from typing import Any

MESSAGES = (
    "select user_id, kind, severity, title from app.outbox_messages left join app.users using (user_key) "
    "order by message_id"
)


def test_a_run_at_the_terminal_tells_what_its_publication_crossed_and_nothing_twice(
    install: Callable[..., Any], built: Any, world: tuple[date, ...]
) -> None:
    home = install("alerted", like=built)
    last = world[1]
    total = home.row("select value_usd, coverage from portfolio_totals where user_id = 'ann'")
    close = home.row(f"select close_usd from prices_daily where asset_id = 'coingecko:bitcoin' and date = '{last}'")
    assert total["coverage"] == 1
    threshold = round(total["value_usd"] * 1.01, 2)
    home.does("alerts", "add", "value", "--user", "ann", "--below", threshold)
    # Ben's GHOST has had no price for weeks: his rule cannot tell, whatever the rest of his coins is worth.
    home.does("alerts", "add", "value", "--user", "ben", "--below", "1")
    home.does("alerts", "add", "price", "BTC", "--user", "cleo", "--above", close["close_usd"] * 1.2)

    assert "Alerts: 2 new messages" in home.does("run", "--to", last)
    first, second = home.sql(MESSAGES)
    assert first[:3] == ("ann", "alert", "warning")
    assert first[3].startswith(f"Warning: value of the portfolio is {total['value_usd']:,.2f} USD, below")
    assert second[:2] == ("ben", "alert.cannot_tell")

    assert "Alerts:" not in home.does("run", "--to", last)  # nothing was published, nothing is new
    assert len(home.sql(MESSAGES)) == 2

    home.does("prices", "override", "BTC", last, round(close["close_usd"] * 1.5, 2), "--why", "a rally")
    assert "Alerts: 2 new messages" in home.does("run", "--to", last)
    told = {(row[0], row[1]) for row in home.sql(MESSAGES)[2:]}
    assert told == {("ann", "alert.resolved"), ("cleo", "alert")}
    title = next(row[3] for row in home.sql(MESSAGES) if row[0] == "cleo")
    assert title.startswith("Warning: price of BTC is ")
    home.stop()
