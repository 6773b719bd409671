"""Market prices as assets and commands see them: ask the providers for what is missing, read what is known.

Belongs here: joining providers, ledger and asset map. How a provider is asked is `market.fetch`; which quote counts is
`market.consensus`.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Final

import polars as pl

from portfolio_pipelines.database.closes import USABLE, Close
from portfolio_pipelines.database.reservations import DatabaseReservations
from portfolio_pipelines.market.consensus import STATE, ConsensusPolicy, decide_prices
from portfolio_pipelines.market.fetch import Listing, Progress, fetch_quotes
from portfolio_pipelines.market.first_closes import known_absences
from portfolio_pipelines.market.providers import build_providers
from portfolio_pipelines.market.quotes import QUOTES, Outcome, PriceProvider
from portfolio_pipelines.market.tracking import tracked_days
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.quote_ledger import QuoteLedger, missing_ranges
from portfolio_pipelines.settings import Settings

SAMPLE: Final = "sample"
NEAR_DAYS: Final = 7
"""Days before and after in which a close is looked for that a price typed by hand can be compared with."""
PROVIDER_COLUMNS: Final = {"coingecko": "coingecko_symbol", "defillama": "defillama_symbol", "yahoo": "yahoo_symbol"}


def _say_nothing(_message: str) -> None: ...


@dataclass(frozen=True, slots=True)
class RefreshReport:
    """What one round of asking brought."""

    asked: int  # (asset, day, provider)
    outcomes: Mapping[str, int]
    changed_days: Sequence[date]
    is_sample: bool  # nobody ever gave a price: the sample market stands in

    @property
    def unreachable(self) -> bool:
        """Whether not one answer came although something was asked."""
        return self.asked > 0 and set(self.outcomes) <= {Outcome.UNREACHABLE.value}


@dataclass(frozen=True)
class MarketData:
    """Quotes of every tracked asset."""

    settings: Settings = field(repr=False)
    database: Database
    ledger: QuoteLedger
    progress: Progress | None = None
    _asked: list[pl.DataFrame] = field(default_factory=list, repr=False, compare=False)  # lately, by this process

    @cached_property
    def policy(self) -> ConsensusPolicy:
        """The figures of the consensus, live providers in the order of the settings."""
        settings = self.settings
        return ConsensusPolicy(
            providers=(*settings.price_providers, "file", SAMPLE),
            tolerance=settings.tolerance,
            max_stale_days=settings.max_stale_days,
            jump_factor=settings.jump_factor,
            gap_days=settings.gap_days,
            gap_jump_factor=settings.gap_jump_factor,
            final_after_hours=settings.final_after_hours,
        )

    @cached_property
    def weekday_assets(self) -> frozenset[str]:
        """Assets that have no close on Saturdays and Sundays."""
        assets = self.database.load("assets")
        return frozenset(assets.filter(pl.col("calendar") == "weekdays")["asset_id"])

    @property
    def is_sample(self) -> bool:
        """Whether the sample market stands in, because neither a provider nor a file ever gave a price."""
        return not self.ledger.has_prices()

    def tracked(self, days: Sequence[date]) -> pl.DataFrame:
        """The (asset_id, date) that need a price, for what is held now."""
        return tracked_days(
            self.database.held_since(),
            self.database.load("asset_successions"),
            self.weekday_assets,
            days,
            self.database.held_by_wallets(self.settings.price_days_after_sale),
        )

    def expected(self, days: Sequence[date]) -> pl.DataFrame:
        """The (asset_id, date) that have a row of prices even when nobody can be asked, sorted by date and asset.

        What people entered and the benchmarks. What wallets hold has a row once it was asked for or quoted: it is found
        by the very run that prices it.
        """
        held, successions = self.database.held_since(), self.database.load("asset_successions")
        return tracked_days(held, successions, self.weekday_assets, days).sort("date", "asset_id")

    def benchmark_days(self, days: Sequence[date]) -> pl.DataFrame:
        """The (asset_id, date) of the benchmarks alone."""
        nothing = pl.DataFrame(schema={"asset_id": pl.String, "invested_on": pl.Date})
        return tracked_days(nothing, self.database.load("asset_successions"), self.weekday_assets, sorted(days))

    def open_requests(self, wanted: pl.DataFrame) -> pl.DataFrame:
        """What is still worth asking of whom: columns provider, asset_id, start, end.

        What this process asked already is not asked again: a command that plans and then runs asks once.
        """
        if wanted.is_empty() or not self.settings.price_providers:
            return pl.DataFrame(schema={"provider": pl.String, "asset_id": pl.String, "start": pl.Date, "end": pl.Date})
        first, last = _span(wanted)
        may_see_all = self.settings.coingecko_plan == "pro"  # what the free plan refused is worth asking for now
        known_answers = self.ledger.settled(first, last + _DAY, refusals_count=not may_see_all)
        settled = pl.concat([known_answers, *self._asked])
        ranges = missing_ranges(wanted, settled, self.settings.price_providers)
        known = self._listings()
        answerable = [
            known[asset].symbol_at(provider) is not None
            for provider, asset in ranges.select("provider", "asset_id").iter_rows()
        ]
        return ranges.filter(pl.Series(answerable, dtype=pl.Boolean))

    def refresh(
        self, days: Sequence[date], now: datetime, log: Callable[[str], object] = _say_nothing
    ) -> RefreshReport:
        """Ask every live provider for the tracked prices that are missing or not final, and keep all answers."""
        return self.ask(self.tracked(days), now, log)

    def ask(self, wanted: pl.DataFrame, now: datetime, log: Callable[[str], object] = _say_nothing) -> RefreshReport:
        """Ask for some (asset_id, date); all providers at the same time, each at its own pace."""
        requests = self.open_requests(wanted.filter(pl.col("date") <= now.astimezone(UTC).date()))
        by_provider = requests.partition_by("provider", as_dict=True, include_key=False)
        known = self._listings()

        def fetch(provider: PriceProvider) -> pl.DataFrame:
            needs = by_provider[(provider.name,)]
            return fetch_quotes(needs, [provider], known, now, self.progress)

        asked = [provider for provider in self._live_providers() if (provider.name,) in by_provider]
        answers = QUOTES.to_frame()
        if asked:
            with ThreadPoolExecutor(max_workers=len(asked), thread_name_prefix="market") as pool:
                answers = pl.concat(pool.map(fetch, asked))
        changed = self.ledger.append(answers)
        self._asked.append(answers.select("asset_id", "date", "provider"))
        outcomes = dict(answers["outcome"].value_counts().sort("outcome").iter_rows())
        report = RefreshReport(answers.height, outcomes, changed, self.is_sample)
        if asked:
            log(f"asked {', '.join(provider.name for provider in asked)} for {answers.height} closes: {outcomes}")
        if report.is_sample:
            log("no provider answered and no price file was imported: the SAMPLE market stands in")
        return report

    def probe(self, wanted: pl.DataFrame, now: datetime) -> dict[str, str]:
        """Ask every live provider for one close and keep nothing: the most telling outcome of each."""
        known = self._listings()
        outcomes = {}
        for provider in self._live_providers():
            needs = [
                (asset, day, day + _DAY)
                for asset, day in wanted.iter_rows()
                if known[asset].symbol_at(provider.name) is not None
            ][:1]
            answer = fetch_quotes(needs, [provider], known, now)
            outcomes[provider.name] = str(answer["outcome"][0]) if answer.height else Outcome.NO_DATA.value
        return outcomes

    def best_quote(self, asset_id: str, day: date) -> float:
        """The close that the consensus would take on a day if it had no history, and so no guard.

        Raises:
            LookupError: If nobody quoted that day.
        """
        wanted = pl.DataFrame({"asset_id": [asset_id], "date": [day]})
        quotes = self.quotes([day], wanted).filter(pl.col("asset_id") == asset_id)
        nothing = self.database.overrides().clear()
        decided = decide_prices(quotes, nothing, STATE.to_frame(), frozenset(), [day], self.policy)
        if decided.is_empty() or decided["close_usd"][0] is None:
            msg = f"nobody quoted {asset_id} on {day}"
            raise LookupError(msg)
        return float(decided["close_usd"][0])

    def accepted_near(self, asset_id: str, day: date) -> tuple[date, float] | None:
        """The accepted close nearest to a day, of which an override of that day is left out; of two the earlier one.

        None when there is none within NEAR_DAYS, or only the sample market.
        """
        if self.is_sample:
            return None
        days = [day + timedelta(days=offset) for offset in range(-NEAR_DAYS, NEAR_DAYS + 1)]
        of_asset = pl.col("asset_id") == asset_id
        quotes = self.ledger.read(days[0], days[-1] + _DAY).filter(of_asset)
        overrides = self.database.overrides().filter(of_asset & (pl.col("date") != day))
        decided = decide_prices(quotes, overrides, STATE.to_frame(), self.weekday_assets, days, self.policy)
        accepted = decided.filter(pl.col("status").is_in(list(USABLE))).select("date", "close_usd")
        away = (pl.col("date") - day).dt.total_days().abs()
        nearest = accepted.sort(away, "date").rows()
        return nearest[0] if nearest else None

    def quotes(self, days: Sequence[date], wanted: pl.DataFrame | None = None) -> pl.DataFrame:
        """All quotes of some consecutive days; of the sample market where nobody ever gave a price."""
        known = self.ledger.read(days[0], days[-1] + _DAY)
        if not self.is_sample:
            return known
        wanted = self.tracked(days) if wanted is None else wanted
        needs = missing_ranges(wanted, QUOTES.to_frame().select("asset_id", "date", "provider"), [SAMPLE])
        if needs.is_empty():
            return known
        market = build_providers([SAMPLE], weekday_assets=self.weekday_assets)
        sample = fetch_quotes(needs.drop("provider"), market, self._listings(), datetime.now(UTC))
        return pl.concat([known, sample]).sort("asset_id", "date", "provider", "known_at")

    def purchase_closes(self, needs: Sequence[tuple[str, date]]) -> dict[tuple[str, date], Close]:
        """The closes that quantities are derived from, asked for where they are not known.

        Each day is decided by its own quotes: a purchase is no jump from an earlier one.
        """
        wanted = pl.DataFrame(needs, schema={"asset_id": pl.String, "date": pl.Date}, orient="row").unique()
        if wanted.is_empty():
            return {}
        self.ask(wanted, datetime.now(UTC))
        first, last = _span(wanted)
        days = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
        quotes = self.quotes(days, wanted).join(wanted, on=["asset_id", "date"], how="semi")
        overrides = self.database.overrides()
        first_days = self.ledger.first_days()
        closes = {}
        for (day,), of_day in quotes.partition_by("date", as_dict=True).items():
            decided = decide_prices(of_day, overrides, STATE.to_frame(), frozenset(), [day], self.policy)
            for row in decided.iter_rows(named=True):
                closes[row["asset_id"], day] = Close(
                    row["close_usd"], row["provider"], row["status"], row["reason"], first_days.get(row["asset_id"])
                )
        for need in needs:
            closes.setdefault(need, Close(None, None, "no_source", None, first_days.get(need[0])))
        return closes

    def known_absences(self, assets: Sequence[str]) -> pl.DataFrame:
        """The days on which these assets are known to have had no price yet, schema ABSENCES; asks no provider."""
        overrides = self.database.overrides().filter(pl.col("withdrawn_at").is_null())
        return known_absences(self.ledger.scan(), overrides, assets)

    def _listings(self) -> dict[str, Listing]:
        """What providers call each asset: the asset map's word first, then what the tokens of wallets say."""
        of_tokens = {
            row["asset_id"]: Listing(
                row["asset_id"],
                "crypto",
                "daily",
                {provider: row[column] for provider, column in PROVIDER_COLUMNS.items() if row.get(column)},
            )
            for row in self.database.held_assets().iter_rows(named=True)
        }
        return of_tokens | {
            row["asset_id"]: Listing(
                row["asset_id"],
                row["kind"],
                row["calendar"],
                {provider: row[column] for provider, column in PROVIDER_COLUMNS.items() if row[column]},
            )
            for row in self.database.load("assets").iter_rows(named=True)
        }

    def _live_providers(self) -> Sequence[PriceProvider]:
        settings = self.settings
        return build_providers(
            settings.price_providers,
            coingecko_url=settings.coingecko_url,
            coingecko_api_key=settings.coingecko_api_key,
            coingecko_plan=settings.coingecko_plan,
            coingecko_per_minute=settings.coingecko_per_minute,
            defillama_url=settings.defillama_url,
            defillama_per_minute=settings.defillama_per_minute,
            yahoo_url=settings.yahoo_url,
            yahoo_per_minute=settings.yahoo_per_minute,
            timeout_seconds=settings.request_timeout_seconds,
            reservations=DatabaseReservations(self.database.engine),
        )


_DAY: Final = timedelta(days=1)


def _span(wanted: pl.DataFrame) -> tuple[date, date]:
    first, last = wanted["date"].min(), wanted["date"].max()
    if not isinstance(first, date) or not isinstance(last, date):
        msg = "no day is wanted"
        raise TypeError(msg)
    return first, last
