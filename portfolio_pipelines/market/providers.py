"""The providers by name, made from plain values: which exist, and what each needs.

Belongs here: the registry. Where the values come from is the settings' business.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

from pydantic import SecretStr

from portfolio_pipelines.market.coingecko import CoinGecko
from portfolio_pipelines.market.defillama import DefiLlama
from portfolio_pipelines.market.limiter import Limiter, MemoryReservations, Reservations
from portfolio_pipelines.market.quotes import PriceProvider
from portfolio_pipelines.market.sample import SampleMarket
from portfolio_pipelines.market.yahoo import Yahoo

NAMES: Final = ("coingecko", "defillama", "yahoo", "sample")
IN_THIS_PROCESS: Final = MemoryReservations()
"""Shared by all providers of the process that are built without other reservations: one provider, one pace."""


def build_providers(
    names: Sequence[str],
    *,
    coingecko_url: str = "",
    coingecko_api_key: SecretStr | None = None,
    coingecko_plan: str = "demo",
    coingecko_per_minute: float = 25.0,
    defillama_url: str = "",
    defillama_api_key: SecretStr | None = None,
    defillama_per_minute: float = 90.0,
    yahoo_url: str = "",
    yahoo_per_minute: float = 60.0,
    timeout_seconds: float = 15.0,
    sample_seed: int = 0,
    weekday_assets: frozenset[str] = frozenset(),
    reservations: Reservations | None = None,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[PriceProvider, ...]:
    """Make the named providers.

    Args:
        names: Of NAMES, in order of priority.
        coingecko_url: Other base URL; empty for the real one. Likewise for the others.
        coingecko_api_key: Key of the plan; None for the public service.
        coingecko_plan: demo or pro.
        coingecko_per_minute: Requests a minute. Likewise for the others.
        defillama_url: See coingecko_url.
        defillama_api_key: Key of the paid service; None for the free one.
        defillama_per_minute: See coingecko_per_minute.
        yahoo_url: See coingecko_url.
        yahoo_per_minute: See coingecko_per_minute.
        timeout_seconds: Longest wait for one reply.
        sample_seed: Which sample market.
        weekday_assets: Assets without weekend prices in the sample market.
        reservations: Where the pace is kept; None for this process alone.
        clock: Seconds since the epoch.
        sleep: Waits so many seconds.

    Returns:
        The providers in the order of `names`.

    Raises:
        ValueError: If a name is unknown or repeated, or a value makes no sense.
    """
    unknown = sorted(set(names) - set(NAMES))
    if unknown or len(set(names)) != len(names):
        msg = f"price providers must be different ones of {', '.join(NAMES)}; got {', '.join(names)}"
        raise ValueError(msg)
    slots = reservations or IN_THIS_PROCESS

    def pace(name: str, per_minute: float) -> Limiter:
        return Limiter(name, per_minute, slots, clock=clock, sleep=sleep)

    def build(name: str) -> PriceProvider:
        if name == "coingecko":
            return CoinGecko(
                pace(name, coingecko_per_minute),
                url=coingecko_url,
                api_key=coingecko_api_key,
                plan=coingecko_plan,
                timeout_seconds=timeout_seconds,
            )
        if name == "defillama":
            limiter = pace(name, defillama_per_minute)
            return DefiLlama(limiter, url=defillama_url, api_key=defillama_api_key, timeout_seconds=timeout_seconds)
        if name == "yahoo":
            return Yahoo(pace(name, yahoo_per_minute), url=yahoo_url, timeout_seconds=timeout_seconds)
        return SampleMarket(sample_seed, weekday_assets)

    return tuple(build(name) for name in names)
