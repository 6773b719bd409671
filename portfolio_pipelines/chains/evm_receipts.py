"""Receipts among the tokens of an EVM chain at one block: which they are, and their ratios to what they stand for.

Belongs here: the layers (a vault of a vault of a coin), what is asked once and what at every read, and what a failure
costs: the ratios, never the balances. What one contract is asked is in `receipt_probe` and `receipt_tokens`.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Final

import polars as pl

from portfolio_pipelines.chains.chain_reading import NATIVE
from portfolio_pipelines.chains.known_receipts import KNOWN_RECEIPTS
from portfolio_pipelines.chains.receipt_probe import ReceiptFinding, leads_to_itself, probe_receipts
from portfolio_pipelines.chains.receipt_tokens import Kind, NoRatio, Ratio, ReceiptToken, read_ratios
from portfolio_pipelines.chains.rpc.errors import RpcError
from portfolio_pipelines.chains.rpc.node import Node
from portfolio_pipelines.chains.token_facts import TOKEN_FACTS

MOST_LAYERS: Final = 3
MOST_DECIMALS: Final = 36  # of a token that may be a receipt: its shares must fit into a question
LARGEST_RATIO: Final = Fraction(10**6)  # whole underlying tokens for one whole receipt, and the inverse

Facts = Callable[[set[str]], Awaitable[pl.DataFrame]]
"""Asks tokens what they are (`token_facts.TOKEN_FACTS`); those that could not be asked are missing or `unread`."""


@dataclass(frozen=True, slots=True)
class ReceiptReading:
    """What came of it.

    Attributes:
        findings: Of tokens that were asked now whether they are receipts.
        ratios: Of the receipts among the tokens, layers below included; a receipt that is missing was not read.
        new_tokens: Facts of underlying tokens that nobody knew.
        receipts: The receipts that were found now.
    """

    findings: list[ReceiptFinding] = field(default_factory=list)
    ratios: list[Ratio | NoRatio] = field(default_factory=list)
    new_tokens: list[pl.DataFrame] = field(default_factory=list)
    receipts: dict[str, ReceiptToken] = field(default_factory=dict)


@dataclass(frozen=True)
class ReceiptReader:
    """Reads receipts of one chain at one block.

    Args:
        node: The chain.
        chain_id: Its id.
        block: Number of the block.
        facts: Asks unknown tokens.
        coin_tokens: Contracts that only show the chain's own coin.
        named: Kind and underlying of receipts that do not say it themselves, by chain and contract.
    """

    node: Node
    chain_id: int
    block: int
    facts: Facts
    coin_tokens: Collection[str] = ()
    named: Mapping[tuple[int, str], tuple[Kind, str]] = field(default_factory=lambda: KNOWN_RECEIPTS)

    async def read(
        self,
        held: Collection[str],
        decimals: Mapping[str, int],
        *,
        receipts: Mapping[str, ReceiptToken],
        may_be: Collection[str],
        faults: list[str],
    ) -> ReceiptReading:
        """Find receipts and read their ratios.

        Args:
            held: Tokens whose worth is wanted.
            decimals: Of all tokens that are known to have decimals, the chain's own coin among them.
            receipts: The receipts that are known.
            may_be: Known tokens that were never asked whether they are receipts.
            faults: Takes what the node did not answer.
        """
        known, open_tokens, places = dict(receipts), set(may_be), dict(decimals)
        reading, wanted, layer = ReceiptReading(), dict[str, ReceiptToken](), set(held)
        try:
            for _ in range(MOST_LAYERS):
                asked = {token for token in layer & open_tokens if places.get(token, 256) <= MOST_DECIMALS}
                open_tokens |= await self._ask(asked, places, known, reading)
                open_tokens -= asked
                here = {token: known[token] for token in layer if token in known}
                wanted |= here
                layer = {receipt.underlying[0] for receipt in here.values()} - wanted.keys()
            some = sorted(wanted.values(), key=lambda receipt: receipt.token)
            ratios = await read_ratios(self.node, some, self.block)
            reading.ratios.extend(_plausible(ratio, places) for ratio in ratios)
        except RpcError as error:
            faults.append(f"receipt tokens: {error}")
        return reading

    async def _ask(
        self, asked: Collection[str], places: dict[str, int], known: dict[str, ReceiptToken], reading: ReceiptReading
    ) -> set[str]:
        """Probe tokens; `places`, `known` and `reading` grow. Returns the underlying tokens that nobody knew."""
        if not asked:
            return set()
        tokens = {token: places[token] for token in asked}
        found = await probe_receipts(self.node, tokens, self.block, chain_id=self.chain_id, known=self.named)
        found = [replace(each, underlying=NATIVE) if each.underlying in self.coin_tokens else each for each in found]
        unknown = {each.underlying for each in found if each.underlying and each.underlying not in places}
        facts = await self.facts(unknown) if unknown else pl.DataFrame(schema=TOKEN_FACTS)
        told = facts.filter(pl.col("status") != "unread")
        places |= dict(told.drop_nulls("decimals").select("token", "decimals").iter_rows())
        reading.new_tokens.append(facts)
        silent = unknown - set(told["token"])
        for finding in found:
            if finding.underlying in silent:  # not known what it stands for: it is asked again
                continue
            judged = _judged(finding, places, {token: receipt.underlying[0] for token, receipt in known.items()})
            reading.findings.append(judged)
            if (receipt := judged.receipt(places[judged.token])) is not None:
                known[judged.token] = reading.receipts[judged.token] = receipt
        return unknown - silent


def _judged(finding: ReceiptFinding, decimals: Mapping[str, int], underlyings: Mapping[str, str]) -> ReceiptFinding:
    """A finding, refused where what it stands for has no decimals or leads back to it."""
    if finding.underlying is None:
        return finding
    if decimals.get(finding.underlying, 256) > MOST_DECIMALS:
        reason = f"{finding.kind} of {finding.underlying}, which does not say its decimals or has too many"
    elif leads_to_itself(finding.token, {**underlyings, finding.token: finding.underlying}):
        reason = f"{finding.kind} of {finding.underlying}, which stands for it in turn"
    else:
        return finding
    return ReceiptFinding(finding.token, "refused", reason=reason)


def whole_ratio(ratio: Ratio, decimals: Mapping[str, int]) -> Fraction:
    """Whole underlying tokens for one whole receipt token, exact.

    Args:
        ratio: In smallest units.
        decimals: Of both tokens.

    Raises:
        KeyError: If the decimals of one of them are not known.
    """
    scale = Fraction(10) ** (decimals[ratio.token] - decimals[ratio.underlying])
    return Fraction(ratio.numerator, ratio.denominator) * scale


def _plausible(ratio: Ratio | NoRatio, decimals: Mapping[str, int]) -> Ratio | NoRatio:
    """The ratio, or why it is none: no receipt is worth a million of its underlying, or a millionth."""
    if isinstance(ratio, NoRatio):
        return ratio
    if ratio.token not in decimals or ratio.underlying not in decimals:
        return NoRatio(ratio.token, f"the decimals of {ratio.underlying} are not known")
    whole = whole_ratio(ratio, decimals)
    if 1 / LARGEST_RATIO <= whole <= LARGEST_RATIO:
        return ratio
    return NoRatio(ratio.token, f"an absurd ratio: {float(whole):.6g} of {ratio.underlying} for one")
