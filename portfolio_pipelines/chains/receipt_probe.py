"""Whether a token is a receipt, and of what: asked of the contract once.

Belongs here: recognising vaults, wrapped stETH and markets of Compound v2 and its copies by what they answer. The ratio
is read by `receipt_tokens`, at every read. An answer is one contract's own word: what cannot be true is refused, and
whether a token that nobody asked for may count at all is for `spam` to judge.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from portfolio_pipelines.chains.known_receipts import KNOWN_RECEIPTS
from portfolio_pipelines.chains.receipt_tokens import (
    CALL_GAS,
    CONVERT_TO_ASSETS,
    EXCHANGE_RATE_STORED,
    STETH_OF_ONE,
    Kind,
    ReceiptToken,
    call_words,
)
from portfolio_pipelines.chains.rpc.errors import RpcError
from portfolio_pipelines.chains.rpc.node import Node

Verdict = Literal[Kind, "none", "refused"]
TOKENS_A_BATCH: Final = 100

ASSET: Final = "0x38d52e0f"  # asset()
STETH: Final = "0xc1fe3e48"  # stETH()
UNDERLYING: Final = "0x6f307dc3"  # underlying()
_QUESTIONS: Final = 6  # of a token


@dataclass(frozen=True, slots=True)
class ReceiptFinding:
    """What came of asking a token.

    Attributes:
        token: Its contract.
        kind: How its ratio is read; `none` when it is no receipt; `refused` when it says that it is one of something
            that cannot be.
        underlying: What it stands for; None unless it is a receipt.
        reason: Why it is refused.
    """

    token: str
    kind: Verdict
    underlying: str | None = None
    reason: str | None = None

    def receipt(self, decimals: int) -> ReceiptToken | None:
        """As a receipt token to read the ratio of; None when it is none."""
        if self.underlying is None or self.kind in ("none", "refused"):
            return None
        return ReceiptToken(self.token, self.kind, decimals, (self.underlying,))  # type: ignore[arg-type]


async def probe_receipts(
    node: Node,
    tokens: Mapping[str, int],
    block: int,
    *,
    chain_id: int,
    known: Mapping[tuple[int, str], tuple[Kind, str]] = KNOWN_RECEIPTS,
) -> list[ReceiptFinding]:
    """Which tokens are receipts, each by itself: one that lies or fails harms no other.

    Args:
        node: The chain.
        tokens: Contracts with their decimals.
        block: At which block.
        chain_id: Id of the chain.
        known: Kind and underlying of receipts that do not say it themselves, by chain and contract.

    Returns:
        A finding for each, sorted by contract. A token is missing when the node failed to answer: it is to be asked
        again.
    """
    named = {token: known[chain_id, token] for token in tokens if (chain_id, token) in known}
    findings = [ReceiptFinding(token, kind, underlying) for token, (kind, underlying) in named.items()]
    asked = sorted(tokens.keys() - named.keys())
    for start in range(0, len(asked), TOKENS_A_BATCH):
        findings += await _probe(node, asked[start : start + TOKENS_A_BATCH], tokens, block)
    return sorted(findings, key=lambda finding: finding.token)


async def _probe(node: Node, tokens: Sequence[str], decimals: Mapping[str, int], block: int) -> list[ReceiptFinding]:
    calls: list[tuple[str, Sequence[Any]]] = [
        ("eth_call", [{"to": token, "data": data, "gas": hex(CALL_GAS)}, hex(block)])
        for token in tokens
        for data in (
            ASSET,
            f"{CONVERT_TO_ASSETS}{10 ** decimals[token]:064x}",
            STETH,
            STETH_OF_ONE,
            UNDERLYING,
            EXCHANGE_RATE_STORED,
        )
    ]
    answers = await node.batch(calls)
    found: list[ReceiptFinding] = []
    for place, token in enumerate(tokens):
        try:
            words = [call_words(each) for each in answers[_QUESTIONS * place : _QUESTIONS * (place + 1)]]
        except RpcError:  # the node's fault: the token is asked again
            continue
        found.append(_judged(token, words))
    return await _standing(node, found, block)


def _judged(token: str, words: Sequence[list[int] | None]) -> ReceiptFinding:
    """What a token claims to be by its answers: the name of what it stands for, and a number for its worth in it."""
    pairs: tuple[tuple[Kind, int], ...] = (("erc4626", 0), ("wsteth", 2), ("ctoken", 4))
    for kind, place in pairs:
        name, rate = words[place : place + 2]
        if name is None or len(name) != 1 or not name[0] or rate is None or len(rate) != 1:
            continue
        if name[0] >> 160:
            return ReceiptFinding(token, "refused", reason=f"{kind} of {name[0]:#x}, which is no address")
        underlying = f"0x{name[0]:040x}"
        if underlying == token:
            return ReceiptFinding(token, "refused", reason=f"{kind} of itself")
        return ReceiptFinding(token, kind, underlying)
    return ReceiptFinding(token, "none")


async def _standing(node: Node, findings: Sequence[ReceiptFinding], block: int) -> list[ReceiptFinding]:
    """The findings, those refused whose underlying is no contract."""
    underlyings = sorted({finding.underlying for finding in findings if finding.underlying})
    codes = await node.batch([("eth_getCode", [underlying, hex(block)]) for underlying in underlyings])
    code = dict(zip(underlyings, codes, strict=True))
    kept: list[ReceiptFinding] = []
    for finding in findings:
        answer = code.get(finding.underlying or "")
        if finding.underlying is None:
            kept.append(finding)
        elif answer in ("0x", None, ""):
            reason = f"{finding.kind} of {finding.underlying}, where no contract stands"
            kept.append(ReceiptFinding(finding.token, "refused", reason=reason))
        elif not isinstance(answer, RpcError):
            kept.append(finding)
    return kept


def leads_to_itself(token: str, underlyings: Mapping[str, str]) -> bool:
    """Whether what a receipt stands for stands, through whatever layers, for the receipt.

    Args:
        token: The receipt.
        underlyings: What each receipt stands for.
    """
    seen: set[str] = set()
    current = underlyings.get(token)
    while current is not None and current not in seen:
        if current == token:
            return True
        seen.add(current)
        current = underlyings.get(current)
    return False
