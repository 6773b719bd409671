"""Everything that assets and commands connect to, made from the settings in one place."""

from collections.abc import Mapping
from dataclasses import dataclass

from portfolio_pipelines.market.fetch import Progress
from portfolio_pipelines.resources.chain_connections import ChainConnections
from portfolio_pipelines.resources.database import Database
from portfolio_pipelines.resources.figure_rules import FigureRules
from portfolio_pipelines.resources.lake import Lake
from portfolio_pipelines.resources.leaderboard_rules import LeaderboardRules
from portfolio_pipelines.resources.ledger_rules import LedgerRules
from portfolio_pipelines.resources.market_data import MarketData
from portfolio_pipelines.resources.quote_ledger import QuoteLedger
from portfolio_pipelines.resources.served_marts import ServedMarts
from portfolio_pipelines.resources.validator import VALIDATOR
from portfolio_pipelines.resources.warehouse import Warehouse
from portfolio_pipelines.settings import Settings


@dataclass(frozen=True)
class Platform:
    """The connections of one installation. Making one connects to nothing yet."""

    settings: Settings
    lake: Lake
    ledger: QuoteLedger
    database: Database
    market: MarketData
    warehouse: Warehouse
    served: ServedMarts
    chains: ChainConnections

    @classmethod
    def of(cls, settings: Settings, progress: Progress | None = None) -> "Platform":
        """The platform of some settings; `progress` is told how far the price providers are."""
        lake = Lake(settings.lake)
        ledger = QuoteLedger(settings.lake, settings.final_after_hours)
        database = Database(settings)
        market = MarketData(settings, database, ledger, progress)
        warehouse = Warehouse.from_settings(settings)
        served, chains = ServedMarts(warehouse, settings), ChainConnections(settings, database)
        return cls(settings, lake, ledger, database, market, warehouse, served, chains)

    def resources(self) -> Mapping[str, object]:
        """The Dagster resources of the assets, by name."""
        return {
            "lake": self.lake,
            "database": self.database,
            "market": self.market,
            "warehouse": self.warehouse,
            "served_marts": self.served,
            "validator": VALIDATOR,
            "chains": self.chains,
            "figure_rules": FigureRules.of(self.settings),
            "leaderboard_rules": LeaderboardRules.of(self.settings),
            "ledger_rules": LedgerRules.of(self.settings),
        }
