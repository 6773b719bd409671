"""What an operator may choose about metrics: the risk-free rate, and further assets to compare with.

Belongs here: choices as the assets see them. The conventions that nobody chooses are in `finance.metrics_conventions`.
"""

from dataclasses import dataclass

from portfolio_pipelines.settings import Settings


@dataclass(frozen=True, slots=True)
class FigureRules:
    """The choices of one installation."""

    risk_free_rate: float = 0.0  # a year, 0.04 = 4 %
    benchmark_assets: tuple[str, ...] = ()  # asset ids beside BTC, ETH and SP500

    @classmethod
    def of(cls, settings: Settings) -> "FigureRules":
        """The choices that the settings hold."""
        return cls(settings.risk_free_rate, settings.benchmark_assets)
