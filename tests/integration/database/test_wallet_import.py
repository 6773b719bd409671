"""Importing wallet files into a real database: versions, room for twenty, all or nothing."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import sqlalchemy as sa

from portfolio_pipelines.chains.ens import UnresolvedNameError
from portfolio_pipelines.chains.registry import load_registry
from portfolio_pipelines.chains.rpc.errors import Unreachable
from portfolio_pipelines.commands.importing import SAMPLE_WALLETS
from portfolio_pipelines.database.connection import create_engine
from portfolio_pipelines.database.wallet_import import WalletImport, import_wallets
from portfolio_pipelines.database.wallets import WALLETS_SCHEMA, NotWatchedError, remove_wallet, wallets_frame
from portfolio_pipelines.market.file_faults import FileRefusedError
from tests.unit.database.test_wallet_files import CHAINS, HEADER, LEGACY, SOLANA, VITALIK

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
FILE = HEADER + f"ann,{VITALIK},main,ethereum;42161\nann,{SOLANA},,\nbob,{VITALIK},,\n"
TABLES = ("imports", "users", "wallets", "wallet_versions")
Resolve = Callable[[Sequence[str]], Mapping[str, str | Exception]]


def address(number: int) -> str:
    return f"0x{number + 1:040x}"


def load(database: sa.Engine, text: str, now: datetime = NOW, resolve: Resolve | None = None) -> WalletImport:
    return import_wallets(
        database, text.encode(), chains=CHAINS, who="ann", resolve=resolve, now=now, name="wallets.csv"
    )


def counts(done: WalletImport) -> tuple[int, int, int]:
    return done.added, done.changed, done.unchanged


def state(database: sa.Engine) -> list[int]:
    with database.connect() as connection:
        return [connection.scalar(sa.text(f"select count(*) from app.{table}")) for table in TABLES]


def versions(database: sa.Engine) -> list[dict[str, object]]:
    query = "select * from app.wallet_versions join app.wallets using (wallet_key) order by wallet_key, version"
    with database.connect() as connection:
        return [dict(row) for row in connection.execute(sa.text(query)).mappings()]


def refusal(database: sa.Engine, text: str, resolve: Resolve | None = None) -> str:
    before = state(database)
    with pytest.raises(FileRefusedError) as caught:
        load(database, text, resolve=resolve)
    assert state(database) == before
    return str(caught.value)


def wallets_of(user: str, numbers: Sequence[int]) -> str:
    return HEADER + "".join(f"{user},{address(number)},,\n" for number in numbers)


def test_wallets_arrive_with_their_users(database: sa.Engine) -> None:
    assert wallets_frame(database).schema == WALLETS_SCHEMA
    assert counts(load(database, FILE)) == (3, 0, 0)
    frame = wallets_frame(database)
    assert frame.schema == WALLETS_SCHEMA
    assert frame.rows() == [
        (1, 1, "ann", VITALIK.lower(), "evm", "main", ["arbitrum-one", "ethereum"]),
        (2, 1, "ann", SOLANA, "solana", None, []),
        (3, 2, "bob", VITALIK.lower(), "evm", None, []),
    ]


def test_the_same_file_again_changes_nothing(database: sa.Engine) -> None:
    load(database, FILE)
    before, kept = state(database), versions(database)
    assert counts(load(database, FILE.replace(VITALIK, VITALIK.lower()), LATER)) == (0, 0, 3)
    assert state(database) == before
    assert versions(database) == kept


def test_another_label_or_other_chains_are_a_new_version_and_the_old_one_stays_readable(database: sa.Engine) -> None:
    load(database, FILE)
    changed = FILE.replace("main,ethereum;42161", "savings,").replace(f"bob,{VITALIK},,", f"bob,{VITALIK},,1")
    assert counts(load(database, changed, LATER)) == (0, 2, 1)
    old, new = (row for row in versions(database) if row["wallet_key"] == 1)
    assert (old["label"], old["chains"], old["superseded_at"]) == ("main", ["arbitrum-one", "ethereum"], LATER)
    assert (new["version"], new["label"], new["chains"], new["known_at"]) == (2, "savings", [], LATER)
    assert new["reason"] == ("changed by the file: label 'main' -> 'savings', chains arbitrum-one ethereum -> all")
    assert wallets_frame(database)["chains"].to_list() == [[], [], ["ethereum"]]


def test_a_column_that_the_file_lacks_leaves_what_is_stored(database: sa.Engine) -> None:
    load(database, FILE)
    assert counts(load(database, f"user_id,address\nann,{VITALIK}\ncy,{VITALIK}\n")) == (1, 0, 1)
    assert counts(load(database, f"user_id,address,label\nann,{VITALIK},renamed\n")) == (0, 1, 0)
    assert wallets_frame(database).row(0)[5:] == ("renamed", ["arbitrum-one", "ethereum"])


def test_users_with_wallets_alone_are_users(database: sa.Engine) -> None:
    load(database, FILE)
    with database.connect() as connection:
        assert connection.scalars(sa.text("select user_id from app.users order by user_key")).all() == ["ann", "bob"]


def test_one_wallet_twice_in_a_file_is_refused_however_it_is_spelled(database: sa.Engine) -> None:
    text = HEADER + f"ann,{VITALIK},a,\nann,{VITALIK.lower()},a,\nann,vitalik.eth,b,\nbob,{VITALIK},,\n"
    message = refusal(database, text, lambda _: {"vitalik.eth": VITALIK.lower()})
    assert "2 faults" in message
    assert f"row 3: repeats row 2: 'ann' has {VITALIK.lower()} already" in message
    assert f"row 4: contradicts row 2: 'ann' has {VITALIK.lower()} already" in message


def test_the_twenty_first_wallet_is_refused_with_its_row(database: sa.Engine) -> None:
    message = refusal(database, wallets_of("ann", range(21)))
    assert "1 fault" in message
    assert "row 22: 'ann' would have 21 wallets, 20 are allowed (0 are watched already)" in message
    assert counts(load(database, wallets_of("ann", range(20)))) == (20, 0, 0)


def test_wallets_of_the_file_and_of_the_database_count_together(database: sa.Engine) -> None:
    load(database, wallets_of("ann", range(18)))
    message = refusal(database, wallets_of("ann", range(17, 22)) + f"bob,{VITALIK},,\n")
    assert "row 5: 'ann' would have 22 wallets, 20 are allowed (18 are watched already)" in message
    assert "row 6: 'ann' would have 22 wallets" in message
    assert counts(load(database, wallets_of("ann", range(17, 20)))) == (2, 0, 1)
    assert wallets_frame(database).height == 20


def test_a_removed_wallet_makes_room_and_comes_back_under_its_key(database: sa.Engine) -> None:
    load(database, wallets_of("ann", range(20)))
    assert remove_wallet(database, "ann", address(4), who="ann", now=LATER) == 5
    with pytest.raises(NotWatchedError, match="'ann' watches no wallet 0x"):
        remove_wallet(database, "ann", address(4), who="ann")
    assert 5 not in wallets_frame(database)["wallet_key"]
    load(database, wallets_of("ann", [30]))
    assert "21 wallets" in refusal(database, wallets_of("ann", [4]))
    remove_wallet(database, "ann", address(30), who="ann", now=LATER)
    assert counts(load(database, wallets_of("ann", [4]), LATER)) == (1, 0, 0)
    assert wallets_frame(database).filter(wallet_key=5)["address"].to_list() == [address(4)]
    first, second = (row for row in versions(database) if row["wallet_key"] == 5)
    assert (first["superseded_at"], second["version"], second["superseded_at"]) == (LATER, 2, None)
    assert str(second["reason"]).startswith("imported, was removed 2026-01-11 12:00")


def test_two_imports_at_once_never_pass_twenty_together(database: sa.Engine) -> None:
    load(database, wallets_of("ann", range(10)))
    engines = [create_engine(database.url) for _ in range(2)]

    def add(place: int) -> str:
        first = 100 * (place + 1)
        try:
            load(engines[place], wallets_of("ann", range(first, first + 8)))
        except FileRefusedError as error:
            return str(error)
        return "added"

    with ThreadPoolExecutor(2) as pool:
        outcomes = sorted(pool.map(add, range(2)))
    for engine in engines:
        engine.dispose()
    assert outcomes[0] == "added"
    assert "'ann' would have 26 wallets, 20 are allowed (18 are watched already)" in outcomes[1]
    assert wallets_frame(database).height == 18


def test_the_database_itself_has_no_room_for_a_twenty_first(database: sa.Engine) -> None:
    load(database, wallets_of("ann", range(20)))
    insert = sa.text("""
        insert into app.wallets (user_key, address, family, slot, added_at, added_by)
        values (1, :address, 'evm', :slot, now(), 'ann')
    """)
    for slot in (1, 20, 21, None):
        with pytest.raises(sa.exc.IntegrityError), database.begin() as connection:
            connection.execute(insert, {"address": address(99), "slot": slot})


def test_names_are_resolved_once_and_stored_as_addresses(database: sa.Engine) -> None:
    asked: list[Sequence[str]] = []

    def resolve(names: Sequence[str]) -> Mapping[str, str | Exception]:
        asked.append(list(names))
        return {"vitalik.eth": VITALIK.lower()}

    assert counts(load(database, HEADER + "ann,vitalik.eth,,\nbob,vitalik.eth,,\n", resolve=resolve)) == (2, 0, 0)
    assert asked == [["vitalik.eth"]]
    assert wallets_frame(database)["address"].to_list() == [VITALIK.lower()] * 2
    assert counts(load(database, FILE, resolve=resolve)) == (1, 1, 1)
    assert len(asked) == 1


def test_names_without_a_node_are_refused_with_what_to_do(database: sa.Engine) -> None:
    message = refusal(database, HEADER + f"ann,vitalik.eth,,\nann,{LEGACY},,ethereum\n")
    assert "row 2: 'vitalik.eth' is an ENS name, and no node of Ethereum is configured to resolve it: write" in message
    assert "row 3: an address of Bitcoin cannot be on ethereum" in message


def test_names_that_stand_for_nothing_are_told_apart_from_nodes_that_do_not_answer(database: sa.Engine) -> None:
    answers = {
        "no.eth": UnresolvedNameError("'no.eth' is not registered, or has no resolver"),
        "down.eth": Unreachable("ethereum", "node.example", "timed out"),
    }
    message = refusal(database, HEADER + "ann,no.eth,,\nann,down.eth,,\nann,lost.eth,,\n", lambda _: answers)
    assert "row 2: 'no.eth' is not registered, or has no resolver" in message
    assert "row 3: 'down.eth' could not be resolved: ethereum at node.example: timed out" in message
    assert "row 4: 'lost.eth' could not be resolved" in message


def test_a_resolver_that_breaks_leaves_nothing_behind(database: sa.Engine) -> None:
    def broken(names: Sequence[str]) -> Mapping[str, str | Exception]:
        raise ConnectionError

    before = state(database)
    with pytest.raises(ConnectionError):
        load(database, HEADER + "ann,vitalik.eth,,\n", resolve=broken)
    assert state(database) == before


def test_the_shipped_sample_comes_in(database: sa.Engine) -> None:
    done = import_wallets(database, SAMPLE_WALLETS, chains=load_registry(), who="ann", now=NOW)
    assert counts(done) == (4, 0, 0)
    assert done.notes == ("anvil is not enabled: nothing is read there until it is",)
    assert wallets_frame(database)["chains"].to_list() == [["anvil"]] * 4


def test_twenty_thousand_wallets_arrive_complete(database: sa.Engine) -> None:
    rows = pl.DataFrame({"number": pl.arange(20_000, eager=True)})
    text = rows.select(
        user_id=pl.format("user-{}", pl.col("number") // 4),
        address=pl.Series([address(number) for number in range(20_000)]),
    ).write_csv()
    assert counts(load(database, text)) == (20_000, 0, 0)
    frame = wallets_frame(database)
    assert frame["address"].to_list() == [address(number) for number in range(20_000)]
    assert frame["user_key"].n_unique() == 5_000
    assert counts(load(database, text)) == (0, 0, 20_000)
