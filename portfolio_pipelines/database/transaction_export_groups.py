"""Exports in which several rows make one transaction: Binance, Coinbase Pro, CoinLedger, Crypto.com.

Belongs here: which rows belong together, and what they mean then. Reading lines is `transaction_exports`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from portfolio_pipelines.database.transaction_exports import Format, Line, Reading, amount, each, moment, ticker

Move = tuple[int, str, Decimal]
"""Row, coin, signed quantity."""
LONGEST: Final = 255


def exchange(
    reading: Reading, kind: str, at: datetime, name: str, moves: Iterable[Move], fees: Iterable[Move] = ()
) -> None:
    """One exchange out of many rows: quantities of a coin are added up, further fees become legs of their own."""
    moves, fees = list(moves), list(fees)
    rows = sorted({row for row, _, _ in (*moves, *fees)})
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    for _, coin, quantity in moves:
        sums[coin] += quantity
    came = [(coin, quantity) for coin, quantity in sums.items() if quantity > 0]
    went = [(coin, -quantity) for coin, quantity in sums.items() if quantity < 0]
    if moves and not (came and went):
        for row in rows:
            reading.fault(row, f"{kind} of which nothing {'went' if came else 'came'}")
        return
    charged: defaultdict[str, Decimal] = defaultdict(Decimal)
    for _, coin, quantity in fees:
        charged[coin] += abs(quantity)
    paid = list(charged.items())
    reading.seen.update(rows)
    legs = max(len(came), len(went))
    for leg in range(max(legs, len(paid))):
        cells: dict[str, object] = {}
        if leg < len(came):
            cells |= {"in_asset": came[leg][0], "in_quantity": came[leg][1]}
        if leg < len(went):
            cells |= {"out_asset": went[leg][0], "out_quantity": went[leg][1]}
        if leg < len(paid):
            cells |= {"fee_asset": paid[leg][0], "fee_quantity": paid[leg][1]}
        reading.add(rows[0], kind if leg < legs else "fee", at, transaction_id=name, leg=str(leg + 1), **cells)


def _single(reading: Reading, row: int, kind: str, at: datetime, coin: str, quantity: Decimal, name: str) -> None:
    if not quantity:
        reading.fault(row, "of no amount")
    elif kind in {"withdrawal", "loss", "spend", "gift_sent"}:
        reading.add(row, kind, at, transaction_id=name, out_asset=coin, out_quantity=quantity)
    elif kind == "fee":
        reading.add(row, kind, at, transaction_id=name, fee_asset=coin, fee_quantity=quantity)
    else:
        reading.add(row, kind, at, transaction_id=name, in_asset=coin, in_quantity=quantity)


_BINANCE_TRADES: Final = frozenset(
    {
        "buy", "sell", "transaction related", "transaction buy", "transaction spend", "transaction sold",
        "transaction revenue", "binance convert", "buy crypto", "small assets exchange bnb", "eth 2.0 staking",
        "large otc trading",
    }
)  # fmt: skip
_BINANCE_INCOME: Final = (
    "interest", "rewards", "reward distribution", "voucher distribution", "distribution", "referral kickback",
    "commission rebate", "airdrop assets", "cashback",
)  # fmt: skip
_BINANCE_STAYS: Final = (
    "transfer between", "subscription", "redemption", "savings purchase", "staking purchase", "main and funding",
)  # fmt: skip


def _binance(rows: Sequence[tuple[int, Line]], reading: Reading) -> None:
    """One account line each; the lines of one second that trade belong together."""
    groups: defaultdict[tuple[datetime, str], tuple[list[Move], list[Move]]] = defaultdict(lambda: ([], []))

    def parse(row: int, line: Line, reading: Reading) -> None:
        at, operation = moment(line["utc_time"]), line["operation"].lower()
        coin, change = ticker(line["coin"]), amount(line["change"])
        if operation in _BINANCE_TRADES:
            kind = "wrap" if operation == "eth 2.0 staking" else "trade"
            groups[at, kind][0].append((row, coin, change))
        elif operation in {"fee", "transaction fee"}:
            groups[at, "trade"][1].append((row, coin, change))
        elif any(word in operation for word in _BINANCE_STAYS):
            reading.ignore(row, "stays in the account")
        else:
            kind = {"deposit": "deposit", "fiat deposit": "deposit", "withdraw": "withdrawal",
                    "fiat withdraw": "withdrawal"}.get(operation, "")  # fmt: skip
            if operation in {"realized profit and loss", "funding fee"}:
                kind = "income" if change > 0 else "loss"
            elif not kind and operation.endswith(_BINANCE_INCOME):
                kind = "reward"
            if not kind:
                msg = f"operation {line['operation']!r} is not known"
                raise ValueError(msg)
            _single(reading, row, kind, at, coin, change, reading.id_of(*line.values()))

    each(parse)(rows, reading)
    for (at, kind), (moves, fees) in groups.items():
        exchange(reading, kind, at, f"binance:{kind}:{at:%Y-%m-%dT%H:%M:%S}", moves, fees)


def _by_key(
    key: Callable[[Line], str], parse: Callable[[str, list[tuple[int, Line]], Reading], None]
) -> Callable[[Sequence[tuple[int, Line]], Reading], None]:
    """A parser of groups of rows with one key; a cell that cannot be read is a fault of all rows of its group."""

    def parse_all(rows: Sequence[tuple[int, Line]], reading: Reading) -> None:
        groups: defaultdict[str, list[tuple[int, Line]]] = defaultdict(list)
        for row, line in rows:
            groups[key(line) or f"row {row}"].append((row, line))
        for name, group in groups.items():
            try:
                parse(name, group, reading)
            except ValueError as error:
                for row, _ in group:
                    reading.fault(row, str(error)[:LONGEST])

    return parse_all


def _coinbase_pro(name: str, group: list[tuple[int, Line]], reading: Reading) -> None:
    moves, fees = [], []
    for row, line in group:
        at, coin = moment(line["timestamp"]), ticker(line["amount/balance unit"])
        quantity = amount(line["amount"])
        if line["type"] in {"match", "conversion"}:
            moves.append((row, coin, quantity))
        elif line["type"] == "fee":
            fees.append((row, coin, quantity))
        elif line["type"] in {"deposit", "withdrawal"}:
            transfer = line["transfer id"] or reading.id_of(*line.values())
            _single(reading, row, line["type"], at, coin, quantity, f"coinbasepro:{transfer}")
        else:
            reading.fault(row, f"type {line['type']!r} is not known")
    if moves or fees:
        exchange(reading, "trade", moment(group[0][1]["timestamp"]), f"coinbasepro:{name}", moves, fees)


_COINLEDGER: Final = {
    "deposit": "deposit", "withdrawal": "withdrawal", "interest": "reward", "interest payment": "reward",
    "mining": "mining", "staking": "reward", "airdrop": "airdrop", "gift received": "gift_received",
    "gift sent": "gift_sent", "investment loss": "loss", "theft loss": "loss", "merchant payment": "spend",
    "hard fork": "fork", "network fee": "fee", "income": "income", "casualty loss": "loss",
}  # fmt: skip


def _coinledger(name: str, group: list[tuple[int, Line]], reading: Reading) -> None:
    moves, fees = [], []
    for row, line in group:
        at, kind = moment(line["timestamp (utc)"]), line["type"].lower()
        coin, quantity = ticker(line["asset"]), amount(line["amount"])
        own = f"coinledger:{line['internal id']}"
        if line["record type"] in {"Platform Fee", "Network Fee"} and kind != "network fee":
            fees.append((row, coin, quantity))
        elif kind in {"trade", "buy", "sell"}:
            moves.append((row, coin, quantity))
        elif kind in {"margin gain", "margin loss"}:
            _single(reading, row, "income" if quantity > 0 else "loss", at, coin, quantity, own)
        elif kind in {"transfer", "manual position"}:
            _single(reading, row, "deposit" if quantity > 0 else "withdrawal", at, coin, quantity, own)
        elif kind in _COINLEDGER:
            _single(reading, row, _COINLEDGER[kind], at, coin, quantity, own)
        else:
            reading.fault(row, f"type {line['type']!r} is not known")
    if moves or fees:
        exchange(reading, "trade", moment(group[0][1]["timestamp (utc)"]), f"coinledger:{name}", moves, fees)


_CRYPTOCOM_INCOME: Final = frozenset(
    {
        "referral_bonus", "referral_card_cashback", "reimbursement", "crypto_earn_interest_paid", "mco_stake_reward",
        "pay_checkout_reward", "transfer_cashback", "lockup_swap_rebate", "referral_gift", "crypto_payment_refund",
        "airdrop_locked", "campaign_reward", "staking_reward", "rewards_platform_deposit_credited",
    }
)  # fmt: skip
_CRYPTOCOM_STAYS: Final = frozenset(
    {
        "lockup_lock", "lockup_unlock", "lockup_upgrade", "crypto_earn_program_created",
        "crypto_earn_program_withdrawn",
        "dynamic_coin_swap_bonus_exchange_deposit", "airdrop_to_exchange_transfer",
        "trading.limit_order.cash_account.purchase_lock", "trading.limit_order.cash_account.purchase_unlock",
    }
)  # fmt: skip
_CRYPTOCOM_OTHER: Final = {
    "crypto_deposit": "deposit", "crypto_withdrawal": "withdrawal", "exchange_to_crypto_transfer": "deposit",
    "crypto_to_exchange_transfer": "withdrawal", "invest_deposit": "withdrawal", "invest_withdrawal": "deposit",
    "crypto_payment": "spend", "reimbursement_reverted": "loss",
    "card_cashback_reverted": "loss",
}  # fmt: skip


def _cryptocom(rows: Sequence[tuple[int, Line]], reading: Reading) -> None:
    """Swaps are rows that end in _credited and _debited, of one second."""
    groups: defaultdict[tuple[datetime, str], list[Move]] = defaultdict(list)

    def parse(row: int, line: Line, reading: Reading) -> None:
        at, kind = moment(line["timestamp (utc)"]), line["transaction kind"]
        coin, quantity = ticker(line["currency"]), amount(line["amount"])
        to = (line["to currency"], amount(line["to amount"]))
        name = reading.id_of(*line.values())
        if kind.endswith(("_credited", "_debited")) and kind != "rewards_platform_deposit_credited":
            groups[at, kind.rpartition("_")[0]].append((row, coin, quantity))
        elif kind in _CRYPTOCOM_INCOME:
            _single(reading, row, "reward", at, coin, quantity, name)
        elif kind in _CRYPTOCOM_STAYS:
            reading.ignore(row, "stays in the account")
        elif kind == "crypto_purchase":
            paid = (row, ticker(line["native currency"]), -abs(amount(line["native amount"])))
            exchange(reading, "trade", at, name, [(row, coin, quantity), paid])
        elif kind in {"crypto_exchange", "viban_purchase", "crypto_viban_exchange"} or kind.endswith("purchase_commit"):
            exchange(reading, "trade", at, name, [(row, coin, -abs(quantity)), (row, ticker(to[0]), abs(to[1]))])
        elif kind == "crypto_transfer":
            _single(reading, row, "gift_received" if quantity > 0 else "gift_sent", at, coin, quantity, name)
        elif kind in _CRYPTOCOM_OTHER:
            _single(reading, row, _CRYPTOCOM_OTHER[kind], at, coin, quantity, name)
        else:
            msg = f"kind {kind!r} is not known"
            raise ValueError(msg)

    each(parse)(rows, reading)
    for (at, kind), moves in groups.items():
        exchange(reading, "trade", at, f"crypto.com:{kind}:{at:%Y-%m-%dT%H:%M:%S}", moves)


def _columns(text: str) -> tuple[str, ...]:
    return tuple(text.split("|"))


FORMATS: Final = (
    Format("binance", _columns("user_id|utc_time|account|operation|coin|change|remark"), _binance),
    Format("coinbasepro", _columns("portfolio|type|timestamp|amount|balance|amount/balance unit|transfer id|trade id|"
                                   "order id"), _by_key(lambda line: line["trade id"], _coinbase_pro)),
    Format("coinledger", _columns("timestamp (utc)|type|internal id|platform|account name|platform id|blockchain id|"
                                  "record type|asset|amount|description"),
           _by_key(lambda line: line["internal id"], _coinledger)),
    Format("crypto.com", _columns("timestamp (utc)|transaction description|currency|amount|to currency|to amount|"
                                  "native currency|native amount|native amount (in usd)|transaction kind"), _cryptocom),
)  # fmt: skip
