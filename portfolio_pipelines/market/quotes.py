"""What a provider answered about one asset on one day, and the interface every provider implements.

Belongs here: the quote table's schema, its outcomes, the request and provider types. Choosing between quotes is
`consensus`; asking several providers in turn is `fetch`; storing quotes is the lake's business.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final, Protocol

import polars as pl

UTC_TIME: Final = pl.Datetime("us", "UTC")


def _columns(types: Mapping[str, pl.DataType | type[pl.DataType]]) -> pl.Schema:
    return pl.Schema(types)


QUOTES: Final = _columns(
    {
        "asset_id": pl.String,  # market id, such as coingecko:bitcoin
        "date": pl.Date,  # the UTC day whose close this is
        "provider": pl.String,  # coingecko, defillama, yahoo, file or sample
        "source": pl.String,  # endpoint, or the origin that a price file names
        "close_usd": pl.Float64,  # null unless outcome is ok
        "outcome": pl.String,  # a value of Outcome
        "detail": pl.String,  # what the provider said when it did not answer; null when ok
        "quoted_at": UTC_TIME,  # the provider's own time of the price; null when it gives none
        "requested_at": UTC_TIME,  # when we asked (for files: when the file was imported)
        "known_at": UTC_TIME,  # since when we know it: the same, unless a vintage is replayed
    }
)
"""One row a (asset, day, provider, known_at). A failure is a row too: missing is not zero, and not silence."""


class Outcome(StrEnum):
    """How a provider answered for one asset and day."""

    OK = "ok"
    NO_DATA = "no_data"  # answered, and has no price for that day
    RATE_LIMITED = "rate_limited"  # refused for now: asking again later helps
    UNAUTHORISED = "unauthorised"  # refused for good, e.g. older than the plan allows
    UNREACHABLE = "unreachable"  # no answer: network, DNS, time-out, 5xx
    INVALID = "invalid"  # answered with something that is not a positive finite price


RETRYABLE: Final = frozenset({Outcome.RATE_LIMITED, Outcome.UNREACHABLE})


@dataclass(frozen=True, slots=True)
class SeriesRequest:
    """Daily closes of one asset wanted from one provider, for the half-open range of days [start, end)."""

    asset_id: str
    symbol: str  # the provider's own name of the asset: bitcoin, coingecko:bitcoin, BTC-USD
    start: date
    end: date


class PriceProvider(Protocol):
    """A source of daily closes. Live, replayed and sample implementations look the same to the caller."""

    @property
    def name(self) -> str:
        """The value of the column `provider`."""
        ...

    def fetch(self, requests: Sequence[SeriesRequest], now: datetime) -> pl.DataFrame:
        """Ask for every requested (asset, day); `now` is the request time in UTC.

        Returns:
            Frame of schema QUOTES with exactly one row for each requested (asset, day): a price, or the outcome that
            says why there is none. A day that is still running gets its latest price. Never raises for what the
            provider or the network did; raises ValueError for a request that makes no sense.
        """
        ...
