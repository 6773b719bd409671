"""All wallets on all chains: 150,000 wallets x 100 chains x (50 tokens and the native coin), read into the lake.

The chains are simulated (`node_simulator`); client, reader and files are the project's own. Runs in a process of its
own, so that its memory can be told: python -m benchmarks.many_chains '{"wallets": 150000, "chains": 100}'
"""

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from portfolio_pipelines.chains.reader.balances import Balances, amounts, read_balances
from portfolio_pipelines.chains.rpc.capabilities import MemoryCapabilityStore
from portfolio_pipelines.chains.rpc.client import open_node
from portfolio_pipelines.chains.rpc.endpoints import EndpointSettings
from portfolio_pipelines.resources.files import appears_whole, parquet_bytes

CHAINS_AT_ONCE = 24  # the processor is the limit, not the nodes: more would only hold more balances in memory
USD_PER_CORE_HOUR = 0.05  # list price of a rented core; nodes and storage come on top


@dataclass(frozen=True, slots=True)
class Size:
    """How much is read."""

    wallets: int = 150_000
    chains: int = 100
    tokens: int = 50
    share: float = 0.05  # of the balances is not zero
    requests_per_second: float = 100.0  # that a chain allows

    @property
    def balances(self) -> int:
        """Balances read, the native coin among them."""
        return self.wallets * self.chains * (self.tokens + 1)


def run(size: Size) -> dict[str, float]:
    """The figures of one round, from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.many_chains", json.dumps(asdict(size))]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    figures: dict[str, float] = json.loads(output.splitlines()[-1])
    return figures


def measure(size: Size, lake: Path) -> dict[str, float]:
    """Read everything once, write it, and compare what lies in the lake with what the chains say they answered.

    Raises:
        AssertionError: If a balance is missing or wrong, or a chain was asked faster than it allows.
    """
    arguments = json.dumps({"chains": size.chains, "share": size.share})
    command = [sys.executable, "-m", "benchmarks.node_simulator", arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as simulator:
        assert simulator.stdin
        assert simulator.stdout
        endpoints: dict[str, str] = json.loads(simulator.stdout.readline())
        before = resource.getrusage(resource.RUSAGE_SELF)
        started = time.perf_counter()
        read = asyncio.run(_read_all(size, endpoints, lake))
        seconds = time.perf_counter() - started
        used = resource.getrusage(resource.RUSAGE_SELF)
        simulator.stdin.close()
        served: dict[str, Any] = json.loads(simulator.stdout.readline())
    per_chain = served["chains"]
    rows = 0
    for chain_id in endpoints:
        found = pl.scan_parquet(_file(lake, chain_id)).select(pl.len(), pl.col("raw").sum()).collect().row(0)
        assert found[0] == per_chain[chain_id]["balances"]
        assert int(found[1]) == int(per_chain[chain_id]["sum"])
        rows += found[0]
    busiest = max(facts["busiest_second"] for facts in per_chain.values())
    assert busiest <= size.requests_per_second, f"{busiest} requests in a second"
    processor = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return {
        "balances read": size.balances,
        "not zero, written to the lake": rows,
        "calls": read,
        "seconds": seconds,
        "processor seconds of the reader": processor,
        "processor seconds of the simulated chains": served["cpu_seconds"],
        "balances per second and core": size.balances / processor,
        "peak memory, GB": used.ru_maxrss / 1e6,
        "sent, GB": sum(facts["bytes_in"] for facts in per_chain.values()) / 1e9,
        "received, GB": sum(facts["bytes_out"] for facts in per_chain.values()) / 1e9,
        "files in the lake, GB": sum(_file(lake, chain_id).stat().st_size for chain_id in endpoints) / 1e9,
        "most requests to a chain in any second": busiest,
        "cores busy, read every hour": processor / 3600,
        f"USD an hour at {USD_PER_CORE_HOUR} a core-hour": processor / 3600 * USD_PER_CORE_HOUR,
    }


async def _read_all(size: Size, endpoints: dict[str, str], lake: Path) -> int:
    rng = np.random.default_rng(11)
    wallets = rng.integers(0, 256, (size.wallets, 20), dtype=np.uint8)
    tokens = rng.integers(0, 256, (size.tokens, 20), dtype=np.uint8)
    places = asyncio.Semaphore(CHAINS_AT_ONCE)
    writer = asyncio.Semaphore(1)

    async def one(chain_id: str, url: str) -> int:
        async with places:
            endpoint = EndpointSettings(url, size.requests_per_second)
            node = open_node(int(chain_id), f"chain-{chain_id}", [endpoint], capabilities=MemoryCapabilityStore())
            async with node:
                found = await read_balances(node, wallets, tokens, await node.block())
            assert not len(found.failed_wallet)
            async with writer:  # in a thread: compression lets go of the interpreter
                await asyncio.to_thread(_write, found, _file(lake, chain_id))
            return found.calls

    return sum(await asyncio.gather(*(one(chain_id, url) for chain_id, url in endpoints.items())))


def _write(found: Balances, path: Path) -> None:
    raw, raw_hex = amounts(found.words)
    frame = pl.DataFrame({"wallet_key": found.wallet, "token_key": found.column, "raw": raw, "raw_hex": raw_hex})
    with appears_whole(path) as beside:
        beside.write_bytes(parquet_bytes(frame))


def _file(lake: Path, chain_id: str) -> Path:
    return lake / "core" / "wallet_balances" / f"chain={chain_id}" / "data.parquet"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="portfolio-bench-") as folder:
        print(json.dumps(measure(Size(**json.loads(sys.argv[1])), Path(folder))))
