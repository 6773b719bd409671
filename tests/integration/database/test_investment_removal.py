"""Taking investments back: the list, the history that stays, and bringing them in again."""

from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa

from portfolio_pipelines.database.closes import Close
from portfolio_pipelines.database.investment_import import (
    InvestmentImport,
    import_investments,
    replace_sample_quantities,
)
from portfolio_pipelines.database.investment_removal import (
    LISTED_SCHEMA,
    NoInvestmentError,
    Removal,
    list_investments,
    remove_investment,
)
from portfolio_pipelines.database.investments import load_holding_versions, load_investment_legs

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=3)
BTC, ETH, SOL = "coingecko:bitcoin", "coingecko:ethereum", "coingecko:solana"
FILE = """\
user_id,investment_id,invested_at,asset,amount_usd,quantity
ann,i1,2024-01-01,BTC,600.00,0.0142
ann,i1,2024-01-01,ETH,400,
ann,i2,2024-03-01T08:30:00Z,SOL,50,0.5
bob,i1,2024-02-01,SOL,1000,10
"""


def load(database: sa.Engine, text: str = FILE, now: datetime = NOW, provider: str = "coingecko") -> InvestmentImport:
    return import_investments(
        database,
        text.encode(),
        closes=lambda needs: dict.fromkeys(needs, Close(2000.0, provider, "ok")),
        first_day=date(2013, 1, 1),
        who="ann",
        now=now,
        name="orders.csv",
    )


def versions(database: sa.Engine, investment: str) -> list[tuple[object, ...]]:
    query = """
        select asset_id, version, quantity, known_at, superseded_at, ended_by
        from app.investment_legs join app.investments using (investment_key) join app.users using (user_key)
        where user_id = 'ann' and investment_id = :id order by asset_id, version
    """
    with database.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query), {"id": investment})]


def test_the_list_shows_what_holds_now_with_exact_numbers(database: sa.Engine) -> None:
    load(database)
    listed = list_investments(database)
    assert listed.schema == LISTED_SCHEMA
    first, second = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 3, 1, 8, 30, tzinfo=UTC)
    of_ann = [
        ("ann", "i1", first, BTC, "600", "0.0142", "given", None),
        ("ann", "i1", first, ETH, "400", "0.2", "derived", "coingecko"),
        ("ann", "i2", second, SOL, "50", "0.5", "given", None),
    ]
    assert listed.rows() == [*of_ann, ("bob", "i1", datetime(2024, 2, 1, tzinfo=UTC), SOL, "1000", "10", "given", None)]
    assert list_investments(database, "ann").rows() == of_ann
    assert list_investments(database, "nobody").is_empty()


def test_an_investment_goes_with_all_its_coins_and_its_versions_stay(database: sa.Engine) -> None:
    load(database)
    removed = remove_investment(database, "ann", "i1", who="cleo", now=LATER)
    assert removed == Removal(2, date(2024, 1, 1))
    left = load_investment_legs(database).select("user_id", "investment_id").rows()
    assert left == [("ann", "i2"), ("bob", "i1")], "another user's investment of the same id stays"
    assert [row[3:] for row in versions(database, "i1")] == [(NOW, LATER, "cleo")] * 2
    known = load_holding_versions(database).filter(asset_id=BTC)
    assert known.select("known_from", "known_to").rows() == [(NOW.date(), LATER.date())]


def test_one_coin_can_go_alone(database: sa.Engine) -> None:
    load(database)
    assert remove_investment(database, "ann", "i1", who="ann", asset_id=ETH) == Removal(1, date(2024, 1, 1))
    assert list_investments(database, "ann")["asset"].to_list() == [BTC, SOL]


def test_the_file_that_brought_it_brings_it_back_as_the_next_version(database: sa.Engine) -> None:
    load(database)
    before = load_investment_legs(database)
    remove_investment(database, "ann", "i1", who="ann", now=LATER)
    back = load(database, now=LATER + timedelta(hours=1))
    assert (back.inserted, back.corrected, back.unchanged) == (2, 0, 2)
    assert back.first_affected_day == date(2024, 1, 1)
    assert load_investment_legs(database).equals(before)
    assert [row[:2] for row in versions(database, "i1")] == [(BTC, 1), (BTC, 2), (ETH, 1), (ETH, 2)]
    remove_investment(database, "ann", "i1", who="ann")
    assert load(database).inserted == 2
    assert [row[1] for row in versions(database, "i1")] == [1, 2, 3, 1, 2, 3]


def test_what_was_taken_back_may_come_again_on_another_day_coin_by_coin(database: sa.Engine) -> None:
    load(database)
    remove_investment(database, "ann", "i1", who="ann")
    moved = "user_id,investment_id,invested_at,asset,amount_usd,quantity\nann,i1,2024-05-05,ETH,400,0.3\n"
    assert load(database, moved).inserted == 1, "no coin of the old day is left that it would part from"
    assert list_investments(database, "ann")["asset"].to_list() == [SOL, ETH]


@pytest.mark.parametrize(
    ("user", "investment", "asset", "message"),
    [
        ("cleo", "i1", None, "'cleo' has no investments"),
        ("ann", "i9", None, "'ann' has no investment 'i9'; there is i1, i2"),
        ("ann", "i1", SOL, f"'ann' has no {SOL} in investment 'i1'; there is {BTC}, {ETH}"),
        ("ann", "i1", "BTC", f"'ann' has no BTC in investment 'i1'; there is {BTC}, {ETH}"),
    ],
)
def test_what_is_not_there_cannot_be_taken_back(
    database: sa.Engine, user: str, investment: str, asset: str | None, message: str
) -> None:
    load(database)
    before = list_investments(database)
    with pytest.raises(NoInvestmentError) as caught:
        remove_investment(database, user, investment, who="ann", asset_id=asset)
    assert str(caught.value) == message
    assert list_investments(database).equals(before)


def test_nothing_is_taken_back_twice(database: sa.Engine) -> None:
    load(database)
    remove_investment(database, "ann", "i2", who="ann", now=LATER)
    with pytest.raises(NoInvestmentError, match=r"has no investment 'i2'; there is i1$"):
        remove_investment(database, "ann", "i2", who="cleo")
    assert [row[3:] for row in versions(database, "i2")] == [(NOW, LATER, "ann")]


def test_a_real_price_does_not_bring_back_what_was_derived_from_a_sample(database: sa.Engine) -> None:
    load(database, provider="sample")
    remove_investment(database, "ann", "i1", who="ann")
    done = replace_sample_quantities(database, closes=lambda needs: dict.fromkeys(needs, Close(5.0, "coingecko", "ok")))
    assert (done.replaced, done.remaining) == (0, 0)
    assert list_investments(database, "ann")["asset"].to_list() == [SOL]
