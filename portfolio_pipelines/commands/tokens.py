"""`portfolio tokens …`: tokens added by hand, tokens that count in no total, tokens that somebody vouches for."""

import polars as pl

from portfolio_pipelines.chains.registry import Chain, Registry, load_registry
from portfolio_pipelines.commands.console import OUT, CommandError
from portfolio_pipelines.commands.importing import whoami
from portfolio_pipelines.commands.reading import print_frame
from portfolio_pipelines.resources.platform import Platform


def add(
    platform: Platform,
    chain_name: str,
    address: str,
    symbol: str | None,
    decimals: int | None,
    *,
    name: str | None = None,
    coingecko_id: str | None = None,
    is_rebasing: bool = False,
    unchecked: bool = False,
) -> None:
    """Have a token read in every wallet of its chain from the next run on.

    Unless `unchecked`, the contract is asked; what is not given is taken from its answer, what contradicts it is
    refused: wrong decimals would be wrong money.

    Raises:
        CommandError: If the token makes no sense, or its contract cannot be asked.
    """
    from portfolio_pipelines.database.chain_tokens import ensure_tokens

    chain = _registry(platform).find(chain_name)
    contract, asset_id = _token_of(chain, address)
    if chain.family == "evm" and not unchecked:
        symbol, name, decimals = _checked(chain, contract, symbol, name, decimals)
    if not symbol or decimals is None:
        msg = "give --symbol and --decimals: nobody was asked for them"
        raise CommandError(msg)
    rows = pl.DataFrame(
        {
            "chain_id": [chain.chain_id],
            "address": [contract],
            "asset_id": [asset_id],
            "symbol": [symbol],
            "name": [name or symbol],
            "decimals": [decimals],
            "is_rebasing": [is_rebasing],
            "coingecko_id": [coingecko_id],
        },
        schema_overrides={"coingecko_id": pl.String},
    )
    key = ensure_tokens(platform.database.engine, rows, source="user", who=whoami())["token_key"].item()
    OUT.print(f"token {key}: {symbol} with {decimals} decimals, {asset_id}. `portfolio run` reads it.", markup=False)


def show(platform: Platform, form: str, *, everything: bool = False) -> None:
    """The tokens added by hand; with `everything` all that were ever met."""
    from portfolio_pipelines.database.chain_tokens import chain_tokens_frame

    frame = chain_tokens_frame(platform.database.engine)
    if not everything:
        frame = frame.filter(pl.col("source") == "user")
    columns = ["token_key", "chain_id", "address", "symbol", "name", "decimals", "source"]
    print_frame(frame.select(columns), form, "no token was added by hand; `portfolio tokens add` adds one")


def show_quarantined(platform: Platform, form: str) -> None:
    """The tokens that count in no total, the most suspicious first."""
    from portfolio_pipelines.database.token_trust import quarantine_frame

    frame = quarantine_frame(platform.database.engine).sort("score", "token_key", descending=[True, False])
    shown = frame.with_columns(pl.col("score").round(2), pl.col("reasons").list.join(" "))
    print_frame(shown, form, "no token is quarantined")


def show_whitelist(platform: Platform, form: str) -> None:
    """The tokens that somebody vouches for."""
    from portfolio_pipelines.database.token_trust import whitelist_frame

    frame = whitelist_frame(platform.database.engine).drop("user_key")
    if form == "table":
        frame = frame.with_columns(pl.col("user_id").fill_null("everyone"))
    print_frame(frame, form, "nobody vouches for a token; `portfolio tokens whitelist CHAIN ADDRESS` does")


def whitelist(platform: Platform, chain_name: str, address: str, why: str, user_id: str | None) -> None:
    """Let a token count although it looks like spam, for one user or for everyone.

    Raises:
        CommandError: If the address is none.
        TokenRefusedError: If nobody has met the token.
        WhitelistRefusedError: If the entry makes no sense.
    """
    from portfolio_pipelines.database.token_trust import whitelist_token

    whitelist_token(
        platform.database.engine, _key_of(platform, chain_name, address), who=whoami(), why=why, user_id=user_id
    )
    OUT.print(f"{address} counts for {user_id or 'everyone'} from the next run on.", markup=False)


def distrust(platform: Platform, chain_name: str, address: str, why: str, user_id: str | None) -> None:
    """Take an entry of the whitelist back; it stays in the history.

    Raises:
        CommandError: If the address is none.
        TokenRefusedError: If nobody has met the token.
        WhitelistRefusedError: If there is no such entry.
    """
    from portfolio_pipelines.database.token_trust import withdraw_whitelisting

    withdraw_whitelisting(
        platform.database.engine, _key_of(platform, chain_name, address), who=whoami(), why=why, user_id=user_id
    )
    OUT.print(f"Nobody vouches for {address} for {user_id or 'everyone'} any more.", markup=False)


def _registry(platform: Platform) -> Registry:
    return load_registry(platform.settings.chain_overrides, platform.settings.environment)


def _key_of(platform: Platform, chain_name: str, address: str) -> int:
    from portfolio_pipelines.database.chain_tokens import token_key

    chain = _registry(platform).find(chain_name)
    return token_key(platform.database.engine, chain.chain_id, _token_of(chain, address)[0])


def _token_of(chain: Chain, address: str) -> tuple[str, str]:
    """Address as it is stored, and asset id."""
    from portfolio_pipelines.chains.addresses import ZERO_ADDRESS, parse_address
    from portfolio_pipelines.chains.asset_ids import solana_token_asset_id, token_asset_id
    from portfolio_pipelines.chains.solana.addresses import parse_solana_address

    if chain.family == "bitcoin":
        msg = f"{chain.slug} has no tokens"
        raise CommandError(msg)
    try:
        if chain.family == "solana":
            mint = parse_solana_address(address)
            return mint, solana_token_asset_id(mint)
        contract = parse_address(address)
    except ValueError as error:
        raise CommandError(str(error)) from None
    if contract == ZERO_ADDRESS:
        msg = "the zero address is no token; the chain's own coin is always read"
        raise CommandError(msg)
    return contract, token_asset_id(chain.chain_id, contract)


def _checked(
    chain: Chain, contract: str, symbol: str | None, name: str | None, decimals: int | None
) -> tuple[str | None, str | None, int | None]:
    """What is given, completed by what the contract says."""
    from portfolio_pipelines.chains.rpc.errors import RpcError
    from portfolio_pipelines.commands.chain_questions import NoNodeError, facts_of_token

    way_out = "try again, or give --symbol and --decimals with --unchecked"
    try:
        said = facts_of_token(chain, contract)
    except (NoNodeError, RpcError) as error:
        msg = f"{contract} could not be asked: {error}; {way_out}"
        raise CommandError(msg) from error
    if said["status"] != "ok":
        msg = f"{contract} on {chain.slug} does not answer like a token ({said['fault'] or said['status']}); {way_out}"
        raise CommandError(msg)
    told = int(str(said["decimals"]))
    if decimals is not None and decimals != told:
        msg = f"{contract} on {chain.slug} has {told} decimals, not {decimals}"
        raise CommandError(msg)
    return symbol or _text(said["symbol"]), name or _text(said["name"]), told


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
