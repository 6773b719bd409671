"""`portfolio chains`: the registry as it is in force, and whether the endpoints are well."""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.table import Table

from portfolio_pipelines.chains.endpoint_health import EndpointHealth, check_endpoints
from portfolio_pipelines.chains.registry import Chain, Registry, load_registry
from portfolio_pipelines.commands.console import OUT
from portfolio_pipelines.settings import Settings

Health = Mapping[str, Sequence[EndpointHealth]]  # by slug

COLORS: Final = {"ok": "green", "lagging": "yellow", "stale": "yellow", "rate_limited": "yellow"}


def show_chains(
    settings: Settings, names: Sequence[str], *, everything: bool = False, check: bool = False, form: str = "table"
) -> bool:
    """Print chains, and with `check` what their endpoints say.

    Args:
        settings: Where the user's chains.toml is.
        names: Slugs, ids or names of chains; those that are enabled when empty.
        everything: Show chains that are not enabled, too.
        check: Ask the endpoints.
        form: table or json.

    Returns:
        False when a chain was checked and none of its endpoints is well.

    Raises:
        RegistryRefusedError: If chains.toml has faults.
        UnknownChainError: If a name is no chain.
    """
    registry = load_registry(settings.chain_overrides, settings.environment)
    chosen = _chosen(registry, names, everything)
    health = _health(chosen) if check else {}
    if form == "json":
        json.dump(
            [_record(chain, health.get(chain.slug)) for chain in chosen], sys.stdout, indent=2, ensure_ascii=False
        )
        sys.stdout.write("\n")
    else:
        OUT.print(_health_table(chosen, health) if check else _chain_table(chosen))
        OUT.print(_summary(registry, chosen, health))
    return not check or all(_is_sound(health[chain.slug]) for chain in chosen)


def _chosen(registry: Registry, names: Sequence[str], everything: bool) -> list[Chain]:
    if names:
        return list({chain.slug: chain for chain in map(registry.find, names)}.values())
    return [chain for chain in registry if everything or chain.enabled]


def _health(chains: Sequence[Chain]) -> Health:
    found: dict[str, list[EndpointHealth]] = {chain.slug: [] for chain in chains}
    askable = [chain for chain in chains if not any("${" in url for url in chain.endpoints)]
    for health in asyncio.run(check_endpoints(askable)):
        found[health.chain].append(health)
    return found


def _is_sound(endpoints: Sequence[EndpointHealth]) -> bool:
    return any(health.status == "ok" for health in endpoints)


def _chain_table(chains: Sequence[Chain]) -> Table:
    table = Table()
    for name in ("chain", "id", "name", "coin", "category", "enabled", "endpoints", "Multicall3", "DefiLlama"):
        table.add_column(name, no_wrap=name in ("chain", "id"))
    for chain in chains:
        coin = (
            chain.native_symbol if chain.native_decimals == 18 else f"{chain.native_symbol} ({chain.native_decimals})"
        )
        table.add_row(
            chain.slug,
            str(chain.chain_id),
            chain.name,
            coin,
            chain.category,
            _yes(chain.enabled),
            str(len(chain.endpoints)),
            _yes(chain.multicall3),
            chain.defillama_slug or "–",
        )
    return table


def _health_table(chains: Sequence[Chain], health: Health) -> Table:
    table = Table("chain", "endpoint", "health", "block", "age", "answers in", "what is wrong")
    for chain in chains:
        for one in health[chain.slug]:
            color = COLORS.get(one.status, "red")
            table.add_row(
                chain.slug,
                one.endpoint,
                f"[{color}]{one.status}[/{color}]",
                "–" if one.height is None else str(one.height),
                "–" if one.block_age_seconds is None else f"{max(one.block_age_seconds, 0):.0f} s",
                "–" if one.latency_seconds is None else f"{1_000 * one.latency_seconds:.0f} ms",
                one.detail.replace("[", r"\["),
            )
        if not health[chain.slug]:
            why = "a variable of its URL is not set" if chain.endpoints else "it has no endpoint"
            table.add_row(chain.slug, "–", "[red]none[/red]", "–", "–", "–", why)
    return table


def _summary(registry: Registry, chosen: Sequence[Chain], health: Health) -> str:
    text = f"{len(chosen)} chains shown, {len(registry.enabled())} of {len(registry)} enabled"
    if health:
        good = sum(one.status == "ok" for endpoints in health.values() for one in endpoints)
        asked = sum(len(endpoints) for endpoints in health.values())
        without = [slug for slug, endpoints in health.items() if not _is_sound(endpoints)]
        text += f"; {good} of {asked} endpoints are well"
        text += f"; no endpoint is well on {', '.join(without)}" if without else ""
    return text + "."


def _record(chain: Chain, health: Sequence[EndpointHealth] | None) -> dict[str, Any]:
    record: dict[str, Any] = {
        "chain": chain.slug,
        "chain_id": chain.chain_id,
        "name": chain.name,
        "family": chain.family,
        "category": chain.category,
        "enabled": chain.enabled,
        "native_symbol": chain.native_symbol,
        "native_decimals": chain.native_decimals,
        "native_asset_id": chain.native_asset_id,
        "multicall3": chain.multicall3,
        "block_time_seconds": chain.block_time_seconds,
        "coingecko_platform": chain.coingecko_platform,
        "coingecko_native": chain.coingecko_native,
        "defillama_slug": chain.defillama_slug,
        "requests_per_second": chain.requests_per_second,
        "endpoints": list(chain.endpoint_names),
    }
    if health is not None:
        names = ("endpoint", "status", "detail", "height", "block_age_seconds", "latency_seconds")
        record["health"] = [{name: getattr(one, name) for name in names} for one in health]
    return record


def _yes(value: object) -> str:
    return "yes" if value else "–"
