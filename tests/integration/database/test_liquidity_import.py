"""Importing liquidity positions into a real database: pools checked, versions, room for fifty, all or nothing."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from portfolio_pipelines.assets.impermanent_loss import entered_positions
from portfolio_pipelines.chains.protocols.pools import NoPoolError, PoolFacts
from portfolio_pipelines.chains.rpc.errors import Unreachable
from portfolio_pipelines.database.connection import create_engine
from portfolio_pipelines.database.liquidity import (
    LIQUIDITY_POSITIONS_SCHEMA,
    NoPositionError,
    every_position_frame,
    liquidity_positions_frame,
    remove_position,
)
from portfolio_pipelines.database.liquidity_import import LiquidityImport, Pool, import_liquidity
from portfolio_pipelines.database.wallet_import import import_wallets
from portfolio_pipelines.market.file_faults import FileRefusedError
from tests.unit.database.test_liquidity_files import FULL, HEADER, POOL
from tests.unit.database.test_wallet_files import CHAINS, VITALIK

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
TOKENS = ("0x" + "a0" * 20, "0x" + "c0" * 20)
FACTS = PoolFacts("uniswap_v3", TOKENS, True, {"factory": "0x" + "f0" * 20, "fee": 500})
FILE = FULL + f"ann,{POOL},1,0.0003,2025-03-01,,mine,token0,1500,0.5\nbob,{POOL},1,3000,2025-03-02,,,token1,,\n"
TABLES = ("imports", "users", "liquidity_pools", "liquidity_positions", "liquidity_position_versions")


class Chain:
    """Says of every pool what it is told, and remembers what it was asked."""

    def __init__(self, answer: PoolFacts | Exception = FACTS) -> None:
        self.answer = answer
        self.asked: list[Sequence[Pool]] = []

    def __call__(self, pools: Sequence[Pool]) -> Mapping[Pool, PoolFacts | Exception]:
        self.asked.append(list(pools))
        return dict.fromkeys(pools, self.answer)


def load(database: sa.Engine, text: str, check: Chain | None, now: datetime = NOW) -> LiquidityImport:
    return import_liquidity(
        database, text.encode(), chains=CHAINS, first_day=date(2013, 1, 1), who="ann", check=check, now=now,
        name="pools.csv",
    )  # fmt: skip


def counts(done: LiquidityImport) -> tuple[int, int, int]:
    return done.added, done.changed, done.unchanged


def state(database: sa.Engine) -> list[int]:
    with database.connect() as connection:
        return [connection.scalar(sa.text(f"select count(*) from app.{table}")) for table in TABLES]


def versions(database: sa.Engine) -> list[dict[str, object]]:
    query = "select * from app.liquidity_position_versions order by position_key, version"
    with database.connect() as connection:
        return [dict(row) for row in connection.execute(sa.text(query)).mappings()]


def refusal(database: sa.Engine, text: str, check: Chain | None = None) -> str:
    before = state(database)
    with pytest.raises(FileRefusedError) as caught:
        load(database, text, check)
    assert state(database) == before
    return str(caught.value)


def positions_of(user: str, numbers: Sequence[int]) -> str:
    first = date(2024, 1, 1)
    return HEADER + "".join(f"{user},{POOL},1,1,{first + timedelta(days=number)}\n" for number in numbers)


def test_positions_arrive_with_what_the_chain_says_about_their_pool(database: sa.Engine) -> None:
    assert liquidity_positions_frame(database).schema == LIQUIDITY_POSITIONS_SCHEMA
    chain = Chain()
    done = load(database, FILE, chain)
    assert counts(done) == (2, 0, 0)
    assert (done.unchecked, done.unverified) == ((), ())
    assert chain.asked == [[("ethereum", POOL.lower())]]
    frame = liquidity_positions_frame(database)
    assert frame.schema == LIQUIDITY_POSITIONS_SCHEMA
    pool = ("ethereum", POOL.lower(), "uniswap_v3", list(TOKENS), True)
    assert frame.rows() == [
        (1, 1, "ann", None, *pool, "mine", date(2025, 3, 1), 0.0003, "token0", 1500.0, 0.5),
        (2, 2, "bob", None, *pool, None, date(2025, 3, 2), 3000.0, "token1", None, None),
    ]


def test_weights_of_a_pool_are_kept_with_what_never_changes_about_it(database: sa.Engine) -> None:
    facts = {"vault": POOL.lower(), "pool_id": "0x01", "weights": "800000000000000000 200000000000000000"}
    load(database, FILE, Chain(PoolFacts("balancer_v2", TOKENS, True, facts)))
    frame = every_position_frame(database)
    assert frame["weights"].to_list() == [facts["weights"]] * 2
    assert entered_positions(frame).select("protocol", "coins", "weights").unique().rows() == [
        ("balancer_v2", 2, facts["weights"])
    ]


def test_the_same_file_again_changes_nothing_and_asks_nothing(database: sa.Engine) -> None:
    load(database, FILE, Chain())
    before, kept, chain = state(database), versions(database), Chain(NoPoolError("never asked"))
    assert counts(load(database, FILE, chain, LATER)) == (0, 0, 2)
    assert state(database) == before
    assert versions(database) == kept
    assert chain.asked == []


def test_another_price_or_other_amounts_are_a_new_version(database: sa.Engine) -> None:
    load(database, FILE, Chain())
    assert counts(load(database, FILE.replace("0.0003,", "0.00031,").replace("1500,", "1500.25,"), None, LATER)) == (
        0,
        1,
        1,
    )
    old, new = (row for row in versions(database) if row["position_key"] == 1)
    assert (old["entry_price"], old["superseded_at"]) == (Decimal("0.0003"), LATER)
    assert (new["version"], new["entry_price"], new["amount0"]) == (2, Decimal("0.00031"), Decimal("1500.25"))
    assert new["reason"] == "changed by the file: entry_price 0.0003 -> 0.00031, amount0 1500 -> 1500.25"


def test_columns_that_a_file_lacks_leave_what_is_stored(database: sa.Engine) -> None:
    load(database, FILE, Chain())
    assert counts(load(database, HEADER + f"bob,{POOL},1,3100,2025-03-02\n", None)) == (0, 1, 0)
    assert liquidity_positions_frame(database).row(1)[9:] == (None, date(2025, 3, 2), 3100.0, "token1", None, None)


def test_one_position_twice_in_a_file_is_refused(database: sa.Engine) -> None:
    text = HEADER + f"ann,{POOL},1,1,2025-03-01\nann,{POOL.lower()},ethereum,2,2025-03-01\n"
    assert f"row 3: is the position of row 2: 'ann' entered {POOL.lower()} on ethereum on 2025-03-01" in refusal(
        database, text
    )


def test_an_address_that_is_no_pool_is_refused_in_each_of_its_rows(database: sa.Engine) -> None:
    message = refusal(database, FILE, Chain(NoPoolError("0x88 is no pool: there is no contract on ethereum")))
    assert "2 faults" in message
    assert "row 2: 0x88 is no pool: there is no contract on ethereum" in message


def test_a_chain_that_does_not_answer_says_how_to_go_on(database: sa.Engine) -> None:
    message = refusal(database, FILE, Chain(Unreachable("ethereum", "node.example", "timed out")))
    assert (
        f"row 2: {POOL.lower()} could not be checked: ethereum at node.example: timed out; try again, or import with "
        "--unchecked"
    ) in message


def test_unchecked_pools_are_checked_by_the_next_import_that_can(database: sa.Engine) -> None:
    done = load(database, FILE, None)
    assert done.unchecked == (("ethereum", POOL.lower()),)
    assert liquidity_positions_frame(database)["protocol"].to_list() == [None, None]
    done = load(database, FILE, Chain(PoolFacts("uniswap_v2", TOKENS, False)), LATER)
    assert counts(done) == (0, 0, 2)
    assert (done.unchecked, done.unverified) == ((), (("ethereum", POOL.lower()),))
    assert liquidity_positions_frame(database)["protocol"].to_list() == ["uniswap_v2"] * 2
    with database.connect() as connection:
        assert connection.scalar(sa.text("select checked_at from app.liquidity_pools")) == LATER


def test_a_position_may_name_the_wallet_that_holds_it(database: sa.Engine) -> None:
    row = FULL + f"ann,{POOL},1,1,2025-03-01,{VITALIK},,,,\n"
    assert f"row 2: 'ann' watches no wallet {VITALIK.lower()}: import it first" in refusal(database, row)
    import_wallets(database, f"user_id,address\nann,{VITALIK}\n".encode(), chains=CHAINS, who="ann")
    load(database, row + f"ann,{POOL},1,1,2025-03-01,,,,,\n", Chain())
    assert liquidity_positions_frame(database)["wallet_key"].to_list() == [1, None]
    assert counts(load(database, row, None)) == (0, 0, 1)


def test_the_fifty_first_position_is_refused_with_its_row(database: sa.Engine) -> None:
    message = refusal(database, positions_of("ann", range(51)))
    assert "row 52: 'ann' would have 51 liquidity positions, 50 are allowed (0 are there already)" in message
    assert counts(load(database, positions_of("ann", range(50)), None)) == (50, 0, 0)
    assert "(50 are there already)" in refusal(database, positions_of("ann", [60]))


def test_a_removed_position_makes_room_and_comes_back_under_its_key(database: sa.Engine) -> None:
    load(database, positions_of("ann", range(50)), None)
    remove_position(database, "ann", 7, who="ann", now=LATER)
    for user, key in (("ann", 7), ("bob", 8)):
        with pytest.raises(NoPositionError, match=f"'{user}' has no liquidity position {key}"):
            remove_position(database, user, key, who="ann")
    assert liquidity_positions_frame(database).height == 49
    assert counts(load(database, positions_of("ann", [6]), None, LATER)) == (1, 0, 0)
    assert 7 in liquidity_positions_frame(database)["position_key"]


def test_two_imports_at_once_never_pass_fifty_together(database: sa.Engine) -> None:
    engines = [create_engine(database.url) for _ in range(2)]

    def add(place: int) -> str:
        try:
            load(engines[place], positions_of("ann", range(100 * place, 100 * place + 30)), None)
        except FileRefusedError as error:
            return str(error)
        return "added"

    with ThreadPoolExecutor(2) as pool:
        outcomes = sorted(pool.map(add, range(2)))
    for engine in engines:
        engine.dispose()
    assert outcomes[0] == "added"
    assert "'ann' would have 60 liquidity positions, 50 are allowed (30 are there already)" in outcomes[1]
    assert liquidity_positions_frame(database).height == 30


def test_the_database_itself_refuses_what_makes_no_sense(database: sa.Engine) -> None:
    load(database, positions_of("ann", range(2)), None)
    for change in (
        "liquidity_positions set slot = 1 where position_key = 2",
        "liquidity_positions set slot = 51 where position_key = 2",
        "liquidity_positions set slot = null where position_key = 2",
        "liquidity_position_versions set entry_price = 0",
        "liquidity_position_versions set amount0 = 1",
        "liquidity_position_versions set amount0 = 0, amount1 = 0",
        "liquidity_pools set protocol = 'uniswap_v2'",
    ):
        with pytest.raises(sa.exc.IntegrityError), database.begin() as connection:
            connection.execute(sa.text(f"update app.{change}"))
