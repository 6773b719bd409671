"""Whose price is the price of what a wallet holds, and what price providers call it.

Belongs here: from a token to the asset that is asked for. Asking is `market`, which knows nothing of chains; receipts
whose worth grows against their underlying are `receipt_tokens`.

The rule, first that applies: what a contract redeems one for one has the price of what it redeems; what CoinGecko
lists has CoinGecko's; the coin of a chain has that of the registry; any other contract is asked for by its address.
"""

from dataclasses import dataclass
from typing import Final

from portfolio_pipelines.chains.asset_ids import AssetId, AssetIdError, parse_asset_id
from portfolio_pipelines.chains.registry import Chain, Registry
from portfolio_pipelines.chains.tokens import TokenList

COINGECKO: Final = "coingecko:"
_MOST_STEPS: Final = 4  # an aToken of a vault of a wrapped coin; more is a circle


@dataclass(frozen=True, slots=True)
class PriceAsset:
    """An asset whose price counts.

    Attributes:
        asset_id: `coingecko:<id>`, or the id of the token itself.
        coingecko_symbol: What CoinGecko calls it; None where it has no name there.
        defillama_symbol: What DefiLlama calls it; None where it has no name there.
    """

    asset_id: str
    coingecko_symbol: str | None
    defillama_symbol: str | None


def price_asset(
    registry: Registry, tokens: TokenList, asset_id: str, coingecko_id: str | None = None
) -> PriceAsset | None:
    """The asset whose price is the price of a token or coin.

    Args:
        registry: The chains.
        tokens: The tokens that are known without asking a chain.
        asset_id: Of what is held, such as eip155:1/erc20:0x… or eip155:1/slip44:60.
        coingecko_id: What somebody said that CoinGecko calls this very token; the list's own word counts otherwise.

    Returns:
        None where no provider could have a price.

    Raises:
        AssetIdError: If the id is none of something on a chain.
    """
    current, named = asset_id, coingecko_id
    for _ in range(_MOST_STEPS):
        if current.startswith(COINGECKO):
            return _listed(current.removeprefix(COINGECKO))
        parts = parse_asset_id(current)
        chain = _chain_of(registry, parts)
        if chain is None or parts.kind == "nft":
            return None
        if parts.kind == "native":
            return _listed(named or chain.coingecko_native)
        token = tokens.get(chain.chain_id, parts.address or "")
        if named or (token and token.coingecko_id and not token.priced_as):
            return _listed(named or (token.coingecko_id if token else None))
        if token is None or not token.priced_as:
            return _by_address(chain, current, parts.address)
        current, named = token.priced_as, None
    msg = f"{asset_id} is priced as something that is priced as something else, {_MOST_STEPS} times: a circle"
    raise AssetIdError(msg)


def _chain_of(registry: Registry, parts: AssetId) -> Chain | None:
    if parts.chain_id is not None:
        return registry.by_id.get(parts.chain_id)
    return next((chain for chain in registry if chain.family != "evm" and chain.caip2 == parts.chain), None)


def _listed(name: str | None) -> PriceAsset | None:
    return PriceAsset(f"{COINGECKO}{name}", name, f"{COINGECKO}{name}") if name else None


def _by_address(chain: Chain, asset_id: str, address: str | None) -> PriceAsset | None:
    if chain.defillama_slug is None or address is None:
        return None
    return PriceAsset(asset_id, None, f"{chain.defillama_slug}:{address}")
