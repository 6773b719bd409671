"""rp2's engine on our movements: for its time and for its results. Nothing here runs where rp2 is not installed."""

# mypy: ignore-errors
import contextlib
import tempfile
import time
from datetime import UTC, datetime, timedelta
from decimal import localcontext
from importlib import import_module
from pathlib import Path
from typing import Final

from portfolio_pipelines.finance.lots import Kind, Movements

UNIT: Final = 10**18
DOLLAR: Final = 10**12
PRECISION: Final = 31  # what rp2 sets for itself
CONFIGURATION: Final = """[general]
assets = COIN
exchanges = X
holders = H
[in_header]
timestamp = 0
asset = 1
exchange = 2
holder = 3
transaction_type = 4
spot_price = 5
crypto_in = 6
[out_header]
timestamp = 0
asset = 1
exchange = 2
holder = 3
transaction_type = 4
spot_price = 5
crypto_out_no_fee = 6
crypto_fee = 7
[intra_header]
timestamp = 0
asset = 1
from_exchange = 2
from_holder = 3
to_exchange = 4
to_holder = 5
spot_price = 6
crypto_sent = 7
crypto_received = 8
"""


def gains(made: Movements, method: str) -> tuple[float, float]:
    """Seconds of matching alone, and the sum of all gains in US dollars; every pool by itself."""
    # rp2 changes the rules of arithmetic of its whole process when it is imported: they end with this block.
    with localcontext(prec=PRECISION):
        return _gains(made, method)


def _gains(made: Movements, method: str) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as elsewhere, contextlib.chdir(elsewhere):  # rp2 logs into the current folder
        from prezzemolo.avl_tree import AVLTree
        from rp2.accounting_engine import AccountingEngine
        from rp2.configuration import Configuration
        from rp2.in_transaction import InTransaction
        from rp2.input_data import InputData
        from rp2.out_transaction import OutTransaction
        from rp2.plugin.country.us import US
        from rp2.rp2_decimal import RP2Decimal
        from rp2.tax_engine import compute_tax
        from rp2.transaction_set import TransactionSet

    start = datetime(2001, 1, 1, tzinfo=UTC)
    seconds, total = 0.0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rp2.ini")
        path.write_text(CONFIGURATION)
        configuration = Configuration(str(path), US(), allow_negative_balances=True)
        for pool in sorted(set(made.pool)):
            ins, outs, intras = (TransactionSet(configuration, kind, "COIN") for kind in ("IN", "OUT", "INTRA"))
            for at, (kind, where, quantity, usd) in enumerate(
                zip(made.kind, made.pool, made.quantity, made.usd, strict=True)
            ):
                if where != pool:
                    continue
                moment = (start + timedelta(minutes=at)).isoformat()
                amount, money = RP2Decimal(quantity) / RP2Decimal(UNIT), RP2Decimal(usd) / RP2Decimal(DOLLAR)
                common = (configuration, moment, "COIN", "X", "H")
                free = {"fiat_fee": RP2Decimal(0), "row": at + 1}
                if kind == Kind.ACQUIRE:
                    paid = {"fiat_in_no_fee": money, "fiat_in_with_fee": money}
                    ins.add_entry(InTransaction(*common, "BUY", money / amount, amount, **paid, **free))
                else:
                    sold = (money / amount, amount, RP2Decimal(0))
                    outs.add_entry(OutTransaction(*common, "SELL", *sold, fiat_out_no_fee=money, **free))
            methods = AVLTree()
            methods.insert_node(2000, import_module(f"rp2.plugin.accounting_method.{method}").AccountingMethod())
            engine = AccountingEngine(years_2_methods=methods)
            started = time.perf_counter()
            found = compute_tax(configuration, engine, InputData("COIN", ins, outs, intras))
            seconds += time.perf_counter() - started
            total += sum(float(entry.fiat_gain) for entry in found.gain_loss_set)
    return seconds, total


def seconds(made: Movements, method: str) -> float:
    """Seconds of matching alone."""
    return gains(made, method)[0]
