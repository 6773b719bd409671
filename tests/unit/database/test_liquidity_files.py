"""Files of liquidity positions: what loads, and every way in which one is refused."""

import io
import json
from datetime import date

import polars as pl
import pytest

from portfolio_pipelines.database.liquidity_files import ROWS, LiquidityFile, read_liquidity_file
from portfolio_pipelines.market.file_faults import FileRefusedError
from tests.unit.database.test_wallet_files import CHAINS, SOLANA, VITALIK

TODAY = date(2026, 1, 10)
HEADER = "user_id,pool,chain,entry_price,entry_date\n"
FULL = "user_id,pool,chain,entry_price,entry_date,wallet,label,price_of,amount0,amount1\n"
POOL = "0x88e6A0c2dDD26FEEb64F039a2c41296FcB3f5640"


def read(text: str | bytes) -> LiquidityFile:
    data = text.encode() if isinstance(text, str) else text
    return read_liquidity_file(data, chains=CHAINS, first_day=date(2013, 1, 1), today=TODAY, name="pools.csv")


def faults(text: str | bytes) -> list[str]:
    try:
        found = read(text).faults
    except FileRefusedError as error:
        return [str(fault) for fault in error.faults]
    return [str(fault) for fault in found.first]


def test_five_columns_are_enough() -> None:
    file = read(HEADER + f"ann,{POOL},1,0.0003125,2025-03-01\n")
    assert not file.faults, str(file.faults.refusal())
    assert file.rows.schema == ROWS
    assert file.rows.row(0, named=True) == {
        "row": 2, "user_id": "ann", "chain": "ethereum", "pool": POOL.lower(), "wallet": None,
        "entry_date": date(2025, 3, 1), "label": None, "entry_price": "0.0003125", "price_of": "token0",
        "amount0": None, "amount1": None,
    }  # fmt: skip


def test_csv_json_and_parquet_say_the_same() -> None:
    values = ["ann", POOL, "Arbitrum One", 3200.5, "2025-03-01", VITALIK, "mine", "TOKEN1", 1500, 0]
    objects = [dict(zip(FULL.strip().split(","), values, strict=True))]
    buffer = io.BytesIO()
    pl.DataFrame(objects).with_columns(pl.col("entry_date").str.to_date()).write_parquet(buffer)
    for file in (read(FULL + ",".join(map(str, values)) + "\n"), read(json.dumps(objects)), read(buffer.getvalue())):
        assert not file.faults, str(file.faults.refusal())
        assert file.rows.row(0)[1:] == (
            "ann", "arbitrum-one", POOL.lower(), VITALIK.lower(), date(2025, 3, 1), "mine", "3200.5", "token1", "1500",
            "0",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (f"ann,{POOL},nowhere-at-all,1,2025-03-01", "row 2: there is no chain 'nowhere-at-all'"),
        (f"ann,{POOL},bitcoin,1,2025-03-01", "row 2: pools are valued on EVM chains; bitcoin is none"),
        (
            f"ann,{POOL.replace('A', 'a')},1,1,2025-03-01",
            "row 2: pool: '0x88e6a0c2dDD26FEEb64F039a2c41296FcB3f56",
        ),
        (f"ann,{SOLANA},1,1,2025-03-01", f"row 2: pool: {SOLANA} is no address of an EVM chain"),
        ("ann,pool.eth,1,1,2025-03-01", "row 2: pool: pool.eth is a name: write the address it stands for"),
        (f"ann,{POOL},1,0,2025-03-01", "row 2: entry_price is 0: it must be positive and finite"),
        (f"ann,{POOL},1,,2025-03-01", "row 2: no entry_price"),
        (f"ann,{POOL},1,cheap,2025-03-01", "row 2: entry_price 'cheap' is no number"),
        (f"ann,{POOL},1,inf,2025-03-01", "row 2: entry_price is inf: it must be positive and finite"),
        (f"ann,{POOL},1,1,2026-01-11", "row 2: entry_date 2026-01-11 is in the future"),
        (f"ann,{POOL},1,1,2012-12-31", "row 2: entry_date 2012-12-31 is before 2013-01-01"),
        (f"ann,{POOL},1,1,2025-02-30", "row 2: entry_date '2025-02-30' is no date"),
        (f",{POOL},1,1,2025-03-01", "row 2: no user_id"),
    ],
)
def test_a_bad_row_is_told_with_its_number(row: str, message: str) -> None:
    found = faults(HEADER + row + "\n")
    assert len(found) == 1
    assert message in found[0]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (",,,1,", "row 2: has one of amount0 and amount1: give both"),
        (",,,0,0", "row 2: amount0 and amount1 are both 0"),
        (",,,-1,0", "row 2: amount0 is -1: it must be finite and not negative"),
        (",,USDC,,", "row 2: price_of 'usdc' is neither token0 nor token1"),
        ("0x12,,,,", "row 2: wallet: '0x12' is no address: it has 2 hex digits"),
        (f",{'x' * 101},,,", "row 2: label has 101 characters, more than 100"),
    ],
)
def test_a_bad_optional_cell_is_told_with_its_row(cells: str, message: str) -> None:
    found = faults(FULL + f"ann,{POOL},1,1,2025-03-01,{cells}\n")
    assert len(found) == 1
    assert message in found[0]


def test_all_faults_are_told_at_once() -> None:
    text = HEADER + f"ann,0x12,nowhere,0,2030-01-01\n,{POOL},1,1,2025-03-01\n"
    assert [fault.split(":")[0] for fault in faults(text)] == ["row 2"] * 4 + ["row 3"]


def test_a_file_without_its_columns_is_refused() -> None:
    assert faults("user_id,pool\nann,0x\n")[:2] == [
        "column chain is missing; the file has user_id, pool",
        "column entry_price is missing; the file has user_id, pool",
    ]
    assert faults("pool,user_id,chain,entry_date,entry_price\n" + f"{POOL},ann,1,3200,2025-03-01\n") == [
        "columns entry_price and entry_date look swapped"
    ]
