"""All wallets on all chains: 150,000 wallets x 100 chains x (50 tokens and the coin), read into the lake, day and hour.

The chains are simulated (`node_simulator`); everything else is what an installation runs: settings with a chains.toml,
wallets imported into Postgres, `OnchainReading`, the lake. Runs in a process of its own, so that its memory can be
told: python -m benchmarks.many_chains '{"wallets": 150000, "chains": 100}'
"""

import cProfile
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.simulated_state import BLOCK_SECONDS, SimulatedChain, listed_tokens, token_numbers, wallet_addresses
from portfolio_pipelines.assets.onchain_reading import OnchainReading
from portfolio_pipelines.assets.reconciliation import TOKEN_COLUMNS, reconcile_day
from portfolio_pipelines.assets.token_trust import judge_tokens
from portfolio_pipelines.chain_tables import WALLET_BALANCES, WALLET_BALANCES_SCHEMA
from portfolio_pipelines.chains.addresses import ZERO_ADDRESS, address_array, address_texts
from portfolio_pipelines.chains.chain_reading import NATIVE
from portfolio_pipelines.chains.raw_amounts import integers
from portfolio_pipelines.database.chain_tokens import chain_tokens_frame
from portfolio_pipelines.database.embedded import stop
from portfolio_pipelines.database.wallet_import import import_wallets
from portfolio_pipelines.database.wallets import wallets_frame
from portfolio_pipelines.resources.platform import Platform
from portfolio_pipelines.settings import Settings

WALLETS_OF_SIX_USERS = 5  # 125,000 users have 150,000 wallets
DAY = date(2026, 3, 10)
NOON = int(datetime(2026, 3, 10, 12, 30, tzinfo=UTC).timestamp())
HOUR = 3_600
MIDNIGHT = int(datetime(2026, 3, 11, 0, 10, tzinfo=UTC).timestamp())
USD_PER_CORE_HOUR = 0.05  # list price of a rented core; nodes and storage come on top
COMPARED = 1_000_000  # balances that are compared one by one with what the chain says, of each chain at most


@dataclass(frozen=True, slots=True)
class Size:
    """How much is read."""

    wallets: int = 150_000
    chains: int = 100
    tokens: int = 50
    share: float = 0.05  # of the balances is not zero
    requests_per_second: float = 100.0  # that a chain allows
    look_back_days: int = 30
    profile: str = ""  # folder for the profiles of cProfile; it slows the reading down

    @property
    def balances(self) -> int:
        """Balances read when every wallet is due, the native coin among them."""
        return self.wallets * self.chains * (self.tokens + 1)


def run(size: Size) -> dict[str, float]:
    """The figures of one round, from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.many_chains", json.dumps(asdict(size))]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    figures: dict[str, float] = json.loads(output.splitlines()[-1])
    return figures


def measure(size: Size, home: Path) -> dict[str, float]:
    """Read a day as an installation does, and compare what lies in the lake with what the chains say.

    Raises:
        AssertionError: If a balance is missing or wrong, or a chain was asked faster than it allows.
    """
    arguments = json.dumps({"chains": size.chains, "share": size.share})
    command = [sys.executable, "-m", "benchmarks.node_simulator", arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as simulator:
        assert simulator.stdin
        assert simulator.stdout
        urls: dict[str, str] = json.loads(simulator.stdout.readline())
        installation = Installation(size, home, urls, simulator)
        try:
            figures = _figures(size, installation)
        finally:
            stop(installation.settings.postgres)
        simulator.stdin.close()
        served: dict[str, Any] = json.loads(simulator.stdout.readline())
    per_chain = served["chains"].values()
    busiest = max(facts["busiest_second"] for facts in per_chain)
    assert busiest <= size.requests_per_second, f"{busiest} requests in a second"
    return figures | {
        "all of it: requests": sum(facts["requests"] for facts in per_chain),
        "all of it: sent, GB": sum(facts["bytes_in"] for facts in per_chain) / 1e9,
        "all of it: received, GB": sum(facts["bytes_out"] for facts in per_chain) / 1e9,
        "all of it: processor seconds of the simulated chains": served["cpu_seconds"],
        "all of it: most requests to a chain in any second": busiest,
    }


def _figures(size: Size, installation: "Installation") -> dict[str, float]:
    figures: dict[str, float] = {"balances when every wallet is read": size.balances}
    next_day = DAY + timedelta(days=1)
    with _measured("import of the wallets", figures, size):
        installation.import_wallets()
    for what, moment, day in (
        ("first read", NOON, DAY),
        ("an hour later", NOON + HOUR, DAY),
        ("close of the day", MIDNIGHT, DAY),
        ("new day", MIDNIGHT, next_day),
        ("close of the new day", MIDNIGHT + 24 * HOUR, next_day),
    ):
        with _measured(what, figures, size):
            rows = installation.read(day, moment)
        figures[f"{what}: balances in the lake"] = rows
        figures[f"{what}: files, GB"] = installation.stored()
        installation.compare(day)
    processor = figures["first read: processor seconds"]
    figures["first read: balances per second and core"] = size.balances / processor
    hourly = figures["an hour later: processor seconds"]
    figures["cores busy, read every hour"] = hourly / HOUR
    figures[f"USD an hour at {USD_PER_CORE_HOUR} a core-hour"] = hourly / HOUR * USD_PER_CORE_HOUR
    with _measured("tokens judged", figures, size):
        installation.judge()
    with _measured("a day reconciled", figures, size):
        figures["a day reconciled: rows"] = installation.reconcile(next_day)
    return figures


@dataclass
class Installation:
    """The platform in an empty folder, watching the simulated chains.

    Args:
        size: How much there is.
        home: The folder.
        urls: Where each chain answers, by its number.
        simulator: Is told the time.
    """

    size: Size
    home: Path
    urls: dict[str, str]
    simulator: "subprocess.Popen[str]"
    settings: Settings = field(init=False)
    platform: Platform = field(init=False)

    def __post_init__(self) -> None:
        self.settings = Settings(
            home=self.home, price_providers=(), discovery_days=self.size.look_back_days, _env_file=None
        )
        (self.home / "chains.toml").write_text("".join(self._chains_file()))
        self.platform = Platform.of(self.settings)
        self.platform.database.prepare()

    @property
    def slugs(self) -> dict[str, int]:
        """Number of each chain by its slug."""
        return {f"simulated-{number}": int(number) for number in self.urls}

    def import_wallets(self) -> None:
        """Put all wallets into the database, as a user's file would."""
        count = self.size.wallets
        users = np.arange(count) * WALLETS_OF_SIX_USERS // 6
        file = pl.DataFrame({"user_id": users, "address": address_texts(wallet_addresses(count))})
        rows = file.select(pl.format("user-{}", "user_id").alias("user_id"), "address", label=pl.lit(""))
        done = import_wallets(
            self.platform.database.engine,
            rows.write_csv().encode(),
            chains=self.platform.chains.registry,
            who="benchmark",
            name="wallets.csv",
        )
        assert done.added == count

    def read(self, day: date, moment: int) -> int:
        """Read a day of all chains at a moment; how many balances there are then."""
        assert self.simulator.stdin
        assert self.simulator.stdout
        print(moment, file=self.simulator.stdin, flush=True)
        assert self.simulator.stdout.readline() == "ready\n"
        reading = OnchainReading(
            self.platform.lake,
            self.platform.database,
            self.platform.chains,
            "benchmark",
            clock=lambda: datetime.fromtimestamp(moment, UTC),
        )
        done = reading.read([(day, slug) for slug in self.slugs])
        assert {one.status for one in done} == {"ok"}, next(one for one in done if one.status != "ok")
        return sum(one.balances for one in done)

    def judge(self) -> None:
        """Look for spam."""
        judge_tokens(
            self.platform.database, self.platform.lake, self.platform.chains.registry, self.platform.chains.tokens
        )

    def reconcile(self, day: date) -> int:
        """Compare the balances of a day with what moved; how many rows that gives."""
        tokens = chain_tokens_frame(self.platform.database.engine).select(TOKEN_COLUMNS.names())
        by_id = tokens.partition_by("chain_id", as_dict=True)
        registry = self.platform.chains.registry
        return sum(
            reconcile_day(self.platform.lake, day, registry.by_slug[slug], by_id[(number,)]).height
            for slug, number in self.slugs.items()
        )

    def stored(self) -> float:
        """Size of all files in the lake, GB."""
        return sum(path.stat().st_size for path in self.platform.lake.root.rglob("*.parquet")) / 1e9

    def compare(self, day: date) -> None:
        """Hold what lies in the lake against what the chains say: nothing missing, and the right amounts."""
        wallets = wallets_frame(self.platform.database.engine).select("wallet_key", "address")
        tokens = chain_tokens_frame(self.platform.database.engine)
        listed = listed_tokens(self.size.tokens)
        for slug, number in self.slugs.items():
            chain = SimulatedChain(number, self.size.share)
            rows = self.platform.lake.read_chain(WALLET_BALANCES, day, slug, WALLET_BALANCES_SCHEMA)
            rows = rows.join(wallets, on="wallet_key").join(
                tokens.filter(pl.col("chain_id") == number).select(
                    "token_key", pl.col("address").alias("token"), "source"
                ),
                on="token_key",
            )
            everybody = address_array(wallets["address"].to_list())
            expected = int(chain.holds(everybody, listed).sum() + chain.holds(everybody, None).sum())
            found = rows.filter(pl.col("source") == "shipped").height
            assert found == expected, f"{slug}: {found} balances instead of {expected}"
            some = rows.head(COMPARED)
            is_coin = (some["token"] == NATIVE).to_numpy()
            contracts = address_array(some["token"].replace(NATIVE, ZERO_ADDRESS).to_list())
            numbers = np.where(is_coin, np.uint64(0), token_numbers(contracts))
            moments = some["as_of"].dt.epoch("s").to_numpy()
            high, low = chain.amounts(address_array(some["address"].to_list()), numbers, moments)
            said = [(above << 64) + below for above, below in zip(high.tolist(), low.tolist(), strict=True)]
            assert integers(some) == said, f"{slug}: a balance is wrong"

    def _chains_file(self) -> Iterator[str]:
        yield f"enabled = {json.dumps([f'simulated-{number}' for number in self.urls])}\n"
        tokens = address_texts(listed_tokens(self.size.tokens))
        for number, url in self.urls.items():
            yield f'[chain.simulated-{number}]\nchain_id = {number}\nname = "Simulated {number}"\n'
            yield 'native_symbol = "SIM"\ncategory = "layer2"\n'
            yield f'block_time_seconds = {BLOCK_SECONDS}\nendpoints = ["{url}"]\n'
            yield f"requests_per_second = {self.size.requests_per_second}\n"
        for number in self.urls:
            for place, token in enumerate(tokens):
                yield f'[[token]]\nchain = "simulated-{number}"\naddress = "{token}"\n'
                yield f'symbol = "T{place}"\ndecimals = 18\n'


@contextmanager
def _measured(what: str, figures: dict[str, float], size: Size) -> Iterator[None]:
    """Note seconds, processor seconds and peak memory of the body."""
    profile = cProfile.Profile() if size.profile else None
    _forget_peak_memory()
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    with profile or _nothing():
        yield
    used = resource.getrusage(resource.RUSAGE_SELF)
    figures[f"{what}: seconds"] = time.perf_counter() - started
    figures[f"{what}: processor seconds"] = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    figures[f"{what}: peak memory, GB"] = _peak_memory()
    shown = {name: round(value, 2) for name, value in figures.items() if name.startswith(what)}
    print(json.dumps(shown), file=sys.stderr, flush=True)
    if profile:
        profile.dump_stats(Path(size.profile, what.replace(" ", "-") + ".prof"))


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _forget_peak_memory() -> None:
    """Let the next figure be that of what follows; elsewhere than on Linux it is of all that went before, too."""
    forget = Path("/proc/self/clear_refs")
    if forget.exists():
        forget.write_text("5")


def _peak_memory() -> float:
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return float(line.split()[1]) / 1e6


def main() -> None:
    """Measure what the argument says."""
    folder = Path(tempfile.mkdtemp(prefix="portfolio-bench-"))
    try:
        print(json.dumps(measure(Size(**json.loads(sys.argv[1])), folder)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
