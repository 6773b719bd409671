"""Exports in which each row stands for itself: what the rows of each format mean.

Formats of rotki, Bitstamp, Bittrex, KuCoin, BitMEX, Bisq, BlockFi, bitcoin.tax, Blockpit, CoinTracking, ShapeShift,
Uphold and Nexo. Reading lines is `transaction_exports`.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from portfolio_pipelines.database.transaction_exports import Format, Line, Reading, amount, each, moment, ticker

SATOSHI: Final = Decimal("1e-8")
DONE: Final = ("completed", "complete", "mediated", "done", "success")
WORDS: Final = {
    "deposit": "deposit", "withdrawal": "withdrawal", "staking": "reward", "income": "income", "loss": "loss",
    "gift": "gift_sent", "bounties": "reward", "lending": "reward", "fee": "fee", "nontaxablein": "deposit",
    "nontaxableout": "withdrawal", "margin_trading_profit": "income", "margin_trading_loss": "loss",
    "gift/tip": "gift_received", "mining": "mining", "airdrop": "airdrop", "lending income": "reward",
    "interest income": "reward", "interest payment": "reward", "bonus payment": "reward", "referral bonus": "reward",
    "spend": "spend", "donation": "gift_sent", "lost": "loss", "stolen": "loss", "other fee": "fee", "trade": "trade",
    "interest": "reward", "fixed term interest": "reward", "dividend": "reward", "cashback": "reward",
    "exchange cashback": "reward", "fixedterminterest": "reward",
}  # fmt: skip


def _one_way(
    row: int, reading: Reading, kind: str | None, at: datetime, quantity: Decimal, coin: str, **cells: object
) -> None:
    """Something that only came or only went, by the type."""
    if kind is None or kind == "trade":
        reading.fault(row, "of an unknown type")
    elif not quantity:
        reading.fault(row, "of no amount")
    elif kind in {"withdrawal", "loss", "gift_sent", "spend"}:
        reading.add(row, kind, at, out_quantity=quantity, out_asset=coin, **cells)
    elif kind == "fee":
        reading.add(row, kind, at, fee_quantity=quantity, fee_asset=coin, **cells)
    else:
        reading.add(row, kind, at, in_quantity=quantity, in_asset=coin, **cells)


def _milliseconds(text: str) -> datetime:
    return datetime.fromtimestamp(int(text) / 1000, UTC)


def _rotki_event(row: int, line: Line, reading: Reading) -> None:
    fee = amount(line["fee"])
    cells = {"fee_quantity": fee, "fee_asset": line["fee currency"]} if fee else {}
    name = reading.id_of(*line.values())
    quantity, coin = amount(line["amount"]), ticker(line["currency"])
    kind = WORDS.get(line["type"].lower())
    at = _milliseconds(line["timestamp"])
    _one_way(row, reading, kind, at, quantity, coin, transaction_id=name, venue=line["location"], **cells)


def _swap(
    row: int, reading: Reading, at: datetime, name: str, came: tuple[Decimal, str], went: tuple[Decimal, str],
    fee: tuple[Decimal, str] | None = None, **cells: object,
) -> None:  # fmt: skip
    if not came[0] or not went[0]:
        reading.fault(row, "a trade of nothing")
        return
    charged = {"fee_quantity": fee[0], "fee_asset": ticker(fee[1])} if fee and fee[0] else {}
    reading.add(
        row, "trade", at, transaction_id=name, in_quantity=came[0], in_asset=ticker(came[1]), out_quantity=went[0],
        out_asset=ticker(went[1]), **charged, **cells,
    )  # fmt: skip


def _rotki_trade(row: int, line: Line, reading: Reading) -> None:
    came = (amount(line["receive amount"]), line["receive currency"])
    went = (amount(line["spend amount"]), line["spend currency"])
    _swap(
        row, reading, _milliseconds(line["timestamp"]), reading.id_of(*line.values()), came, went,
        (amount(line["fee"]), line["fee currency"]), venue=line["location"],
    )  # fmt: skip


def _with_unit(text: str) -> tuple[Decimal, str]:
    number, _, unit = text.partition(" ")
    return amount(number), unit


def _bitstamp(row: int, line: Line, reading: Reading) -> None:
    at = datetime.strptime(line["datetime"].replace(".", ""), "%b %d, %Y, %I:%M %p").replace(tzinfo=UTC)
    quantity, coin = _with_unit(line["amount"])
    fee, name = _with_unit(line["fee"]), reading.id_of(*line.values())
    if line["type"] == "Market":
        sides = ((quantity, coin), _with_unit(line["value"]))
        came, went = sides if line["sub type"] == "Buy" else sides[::-1]
        _swap(row, reading, at, name, came, went, fee)
        return
    charged = {"fee_quantity": fee[0], "fee_asset": fee[1]} if fee[0] else {}
    kind = WORDS.get(line["type"].lower())
    _one_way(row, reading, kind, at, quantity, ticker(coin), transaction_id=name, **charged)


def _bittrex_order(row: int, line: Line, reading: Reading) -> None:
    fee = (amount(line["fees (quote)"]), line["quote"])
    total, base = amount(line["total (quote)"]), (amount(line["quantity (base)"]), line["base"])
    bought = line["transaction"] == "Bought"
    quote = (total - fee[0] if bought else total + fee[0], line["quote"])
    came, went = (base, quote) if bought else (quote, base)
    _swap(row, reading, moment(line["time (utc)"]), f"bittrex:{line['txid']}", came, went, fee)


def _bittrex_transfer(row: int, line: Line, reading: Reading) -> None:
    name = reading.id_of(*line.values())
    kind, coin = WORDS.get(line["type"].lower()), ticker(line["currency"])
    cells = {"transaction_id": name, "tx_hash": line["txid"]}
    _one_way(row, reading, kind, moment(line["date"]), amount(line["amount"]), coin, **cells)


def _kucoin(row: int, line: Line, reading: Reading) -> None:
    coin, _, money = line["symbol"].partition("-")
    base, quote = (amount(line["size"]), coin), (amount(line["funds"]), money)
    came, went = (base, quote) if line["side"] == "buy" else (quote, base)
    fee = (amount(line["fee"]), line["feecurrency"])
    _swap(row, reading, moment(line["tradecreatedat"]), reading.id_of(*line.values()), came, went, fee)


def _bitmex(row: int, line: Line, reading: Reading) -> None:
    if line["transactstatus"].lower() not in DONE:
        reading.ignore(row, f"status {line['transactstatus']}")
        return
    at = moment(line["transacttime"], "%m/%d/%Y, %I:%M:%S %p")
    quantity, fee = amount(line["amount"]) * SATOSHI, amount(line["fee"]) * SATOSHI
    kind = {"Deposit": "deposit", "Withdrawal": "withdrawal"}.get(line["transacttype"])
    if line["transacttype"] == "RealisedPNL":
        kind = "income" if quantity > 0 else "loss"
    name = reading.id_of(*line.values())
    if kind == "withdrawal":
        reading.add(
            row, kind, at, transaction_id=name, out_quantity=abs(quantity) - fee, out_asset="BTC", fee_quantity=fee,
            fee_asset="BTC",
        )  # fmt: skip
    else:
        _one_way(row, reading, kind, at, quantity, "BTC", transaction_id=name)


def _bisq(row: int, line: Line, reading: Reading) -> None:
    if line["status"].lower() not in DONE:
        reading.ignore(row, f"status {line['status']}")
        return
    at = moment(line["date/time"], "%d %b %Y %H:%M:%S")
    side, coin = line["offer type"].split()
    bitcoin, other = (amount(line["amount in btc"]), "BTC"), (amount(line["amount"]), line["currency"])
    mine, its = (bitcoin, other) if coin == "BTC" else (other, bitcoin)
    came, went = (mine, its) if side == "Buy" else (its, mine)
    name = f"bisq:{line['trade id']}"
    in_btc, in_bsq = amount(line["trade fee btc"]), amount(line["trade fee bsq"])
    _swap(row, reading, at, name, came, went, (in_btc, "BTC") if in_btc else (in_bsq, "BSQ"))
    mined = amount(line["transaction fee"])
    if mined and came[0] and went[0]:
        reading.add(row, "fee", at, transaction_id=name, leg="2", fee_quantity=mined, fee_asset="BTC")


def _blockfi_trade(row: int, line: Line, reading: Reading) -> None:
    came = (amount(line["buy quantity"]), line["buy currency"])
    went = (amount(line["sold quantity"]), line["sold currency"])
    _swap(row, reading, moment(line["date"]), f"blockfi:{line['trade id']}", came, went)


def _blockfi_transaction(row: int, line: Line, reading: Reading) -> None:
    kind, quantity = line["transaction type"].lower(), amount(line["amount"])
    if kind == "trade":
        reading.ignore(row, "trades are in the export of trades")
        return
    if kind == "crypto transfer":
        kind = "deposit" if quantity > 0 else "withdrawal"
    elif kind == "withdrawal fee":
        kind = "fee"
    coin, name = ticker(line["cryptocurrency"]), reading.id_of(*line.values())
    _one_way(row, reading, WORDS.get(kind), moment(line["confirmed at"]), quantity, coin, transaction_id=name)


def _bitcoin_tax(row: int, line: Line, reading: Reading) -> None:
    at, volume, price = moment(line["date"]), amount(line["volume"]), amount(line["price"])
    base, quote = (volume, line["symbol"]), (volume * price, line["currency"])
    name = reading.id_of(*line.values())
    fee = (amount(line["fee"]), line["feecurrency"])
    action = line["action"].upper()
    if action in {"BUY", "SELL", "SWAP"}:
        came, went = (base, quote) if action != "SELL" else (quote, base)
        _swap(row, reading, at, name, came, went, fee, venue=line["account"])
        return
    known = {"INCOME": "income", "GIFTIN": "gift_received", "SPEND": "spend", "GIFT": "gift_sent", "MINING": "mining",
             "DONATION": "gift_sent", "LOST": "loss", "STAKING": "reward"}  # fmt: skip
    cells = {"transaction_id": name, "venue": line["account"]}
    _one_way(row, reading, known.get(action), at, volume, ticker(line["symbol"]), **cells)


def _two_sided(
    row: int, reading: Reading, kind: str | None, at: datetime, came: tuple[Decimal, str], went: tuple[Decimal, str],
    fee: tuple[Decimal, str], **cells: object,
) -> None:  # fmt: skip
    """Formats with a column for what came, one for what went and one for the fee."""
    if kind == "trade":
        _swap(row, reading, at, str(cells.pop("transaction_id")), came, went, fee, **cells)
        return
    side = came if came[0] else went
    charged = {"fee_quantity": fee[0], "fee_asset": ticker(fee[1])} if fee[0] else {}
    if kind == "gift_sent" and came[0]:
        kind = "gift_received"
    _one_way(row, reading, kind, at, side[0], ticker(side[1]), **charged, **cells)


def _blockpit(row: int, line: Line, reading: Reading) -> None:
    came = (amount(line["incoming amount"]), line["incoming asset"])
    went = (amount(line["outgoing amount"]), line["outgoing asset"])
    _two_sided(
        row, reading, WORDS.get(line["transaction type"].lower()), moment(line["timestamp"], "%d.%m.%Y %H:%M"),
        came, went,
        (amount(line["fee amount"]), line["fee asset"]), transaction_id=reading.id_of(*line.values()),
        venue=line["integration"], tx_hash=line["transaction id"],
    )  # fmt: skip


def _cointracking_time(text: str, reading: Reading) -> datetime:
    if "/" not in text:
        return moment(text, "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M")
    first, second = (int(part) for part in text.split("/")[:2])
    day_first = reading.day_first if reading.day_first is not None else first > 12 if max(first, second) > 12 else None
    if day_first is None:
        msg = f"{text!r} may mean two days: say which part comes first (--day-first or --month-first)"
        raise ValueError(msg)
    order = "%d/%m/%Y" if day_first else "%m/%d/%Y"
    return moment(text, f"{order} %H:%M:%S", f"{order} %H:%M")


def _cointracking(row: int, line: Line, reading: Reading) -> None:
    _two_sided(
        row, reading, WORDS.get(line["type"].lower()), _cointracking_time(line["date"], reading),
        (amount(line["buy"]), line["cur."]), (amount(line["sell"]), line["cur. 1"]),
        (amount(line["fee"]), line["cur. 2"]), transaction_id=reading.id_of(*line.values()), venue=line["exchange"],
    )  # fmt: skip


def _shapeshift(row: int, line: Line, reading: Reading) -> None:
    if line["status"].lower() not in DONE:
        reading.ignore(row, f"status {line['status']}")
        return
    fee = (amount(line["minerfee"]), line["outputcurrency"])
    came = (amount(line["outputamount"]) + fee[0], line["outputcurrency"])
    went = (amount(line["inputamount"]), line["inputcurrency"])
    name = f"shapeshift:{line['id']}"
    _swap(row, reading, moment(line["timestamp"]), name, came, went, fee, tx_hash=line["outputtxid"])


def _uphold(row: int, line: Line, reading: Reading) -> None:
    if line["status"].lower() not in DONE:
        reading.ignore(row, f"status {line['status']}")
        return
    at = moment(line["date"], "%a %b %d %Y %H:%M:%S GMT+0000")
    went = (amount(line["origin amount"]), line["origin currency"])
    came = (amount(line["destination amount"]), line["destination currency"])
    fee = (amount(line["fee amount"]), line["fee currency"])
    name = reading.id_of(*line.values())
    if went[1] != came[1]:
        _swap(row, reading, at, name, came, went, fee)
        if line["type"] == "out":
            reading.add(row, "withdrawal", at, transaction_id=f"{name}-out", out_quantity=came[0], out_asset=came[1])
    elif line["type"] == "in" and line["origin"] == line["destination"] == "uphold":
        _one_way(row, reading, "reward", at, *came, transaction_id=name)
    elif line["type"] == "transfer":
        reading.ignore(row, "stays in the account")
    else:
        kind = "withdrawal" if line["type"] == "out" else "deposit"
        _one_way(row, reading, kind, at, *came, transaction_id=name)


_NEXO_STAYS: Final = re.compile(r"^(un)?locking ?term ?deposit$|^transfer (in|out)$|^exchange ?to ?withdraw$|"
                                r"^exchange ?deposited ?on$|^credit card|^repayment$|^manual repayment$|^liquidation$|"
                                r"^manual sell order$|^nexo card purchase$", re.IGNORECASE)  # fmt: skip


def _nexo(row: int, line: Line, reading: Reading) -> None:
    is_new = "input currency" in line
    kind, details = line["type"], line["details"]
    if not details.lower().startswith("approved"):
        reading.ignore(row, f"status {details.split()[0] if details else 'unknown'}")
        return
    at = moment(line["date / time (utc)"])
    quantity = amount(line["input amount" if is_new else "amount"])
    coin = ticker(line["input currency" if is_new else "currency"])
    got = (amount(line["output amount"]), line["output currency"]) if is_new else (Decimal(0), "")
    name = reading.id_of(*line.values())
    plain = kind.lower()
    if is_new and plain == "exchange":
        _swap(row, reading, at, name, got, (quantity, coin))
    elif is_new and plain in {"liquidation", "manual sell order"}:
        _one_way(row, reading, "spend", at, quantity, coin, transaction_id=name)
    elif _NEXO_STAYS.match(kind):
        reading.ignore(row, "stays in the account, or is money alone")
    elif plain in {"interest", "fixed term interest", "fixedterminterest"} and quantity < 0:
        _one_way(row, reading, "fee", at, quantity, coin, transaction_id=name)
    elif plain in {"withdrawal", "withdraw exchanged", "withdrawexchanged"}:
        _one_way(row, reading, "withdrawal", at, quantity, coin, transaction_id=name)
    elif plain in {"deposit", "deposit to exchange", "deposittoexchange", "top up crypto"}:
        _one_way(row, reading, "deposit", at, quantity, coin, transaction_id=name)
    else:
        _one_way(row, reading, WORDS.get(plain), at, quantity, coin, transaction_id=name)


def _columns(text: str) -> tuple[str, ...]:
    return tuple(text.split("|"))


FORMATS: Final = (
    Format("rotki events", _columns("type|location|currency|amount|fee|fee currency|description|timestamp"),
           each(_rotki_event)),
    Format("rotki trades", _columns("location|spend currency|receive currency|receive amount|spend amount|fee|"
                                    "fee currency|description|timestamp"), each(_rotki_trade)),
    Format("bitstamp", _columns("type|datetime|account|amount|value|rate|fee|sub type"), each(_bitstamp)),
    Format("bittrex", _columns("txid|time (utc)|transaction|order type|market|base|quote|price|quantity (base)|"
                               "fees (quote)|total (quote)|approx value (usd)|time in force|notes"),
           each(_bittrex_order)),
    Format("bittrex", _columns("date|currency|type|address|memo/tag|txid|amount"), each(_bittrex_transfer)),
    Format("kucoin", _columns("tradecreatedat|symbol|side|price|size|funds|fee|feecurrency"), each(_kucoin)),
    Format("bitmex", _columns("transacttime|transacttype|amount|fee|address|transactstatus|walletbalance"),
           each(_bitmex)),
    Format("bisq", _columns("trade id|date/time|market|price|deviation|amount in btc|amount|currency|transaction fee|"
                            "trade fee btc|trade fee bsq|buyer deposit|seller deposit|offer type|status"), each(_bisq)),
    Format("blockfi", _columns("trade id|date|buy quantity|buy currency|sold quantity|sold currency|rate amount|"
                               "rate currency|type"), each(_blockfi_trade)),
    Format("blockfi", _columns("cryptocurrency|amount|transaction type|confirmed at"), each(_blockfi_transaction)),
    Format("bitcoin.tax", _columns("date|action|symbol|account|volume|price|currency|fee|feecurrency|total|"
                                   "cost/proceeds|exchangeid|category|subaccount|memo|symbolbalance|currencybalance|"
                                   "feebalance"), each(_bitcoin_tax)),
    Format("blockpit", _columns("blockpit id|timestamp|source type|source name|integration|transaction type|"
                                "outgoing asset|outgoing amount|incoming asset|incoming amount|fee asset|fee amount|"
                                "transaction id|note|merge id"), each(_blockpit), ";"),
    Format("cointracking", _columns("type|buy|cur.|sell|cur.|fee|cur.|exchange|group|comment|date"),
           each(_cointracking)),
    Format("shapeshift", _columns("id|status|timestamp|rate|minerfee|inputamount|inputcurrency|inputaddress|inputtxid|"
                                  "outputamount|outputcurrency|outputaddress|outputtxid|refundaddress|refundcurrency|"
                                  "refundtxid"), each(_shapeshift)),
    Format("uphold", _columns("date|destination|destination amount|destination currency|fee amount|fee currency|id|"
                              "origin|origin amount|origin currency|status|type"), each(_uphold)),
    Format("nexo", _columns("transaction|type|input currency|input amount|output currency|output amount|"
                            "usd equivalent|details|date / time (utc)"), each(_nexo)),
    Format("nexo", _columns("transaction|type|currency|amount|usd equivalent|details|date / time (utc)"), each(_nexo)),
)  # fmt: skip
