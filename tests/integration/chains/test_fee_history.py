"""What gas costs, asked of a real node and of nodes that talk nonsense."""

import asyncio
from typing import Any

import pytest

from portfolio_pipelines.chains.fee_history import GasPrice, gas_price
from portfolio_pipelines.chains.rpc.errors import BadAnswer
from tests.contracts.anvil import Anvil
from tests.contracts.plain_node import PlainNode

TO = "0x" + "ab" * 20


class SaidNode(PlainNode):
    """A node that says what it is told to say."""

    def __init__(self, answer: Any) -> None:
        super().__init__("http://127.0.0.1:9")
        self.answer = answer

    async def request(self, method: str, _params: Any) -> Any:
        assert method == "eth_feeHistory"
        return self.answer


def test_the_price_of_gas_is_that_of_the_newest_blocks(chain: Anvil, node: PlainNode) -> None:
    for _ in range(5):
        chain.send(TO, value=1)
        chain.mine()
    newest = chain.rpc("eth_getBlockByNumber", "latest", False)
    found = asyncio.run(gas_price(node, blocks=1))
    assert found.block_number == int(newest["number"], 16)
    assert found.blocks == 1
    assert found.wei >= int(newest["baseFeePerGas"], 16)
    assert asyncio.run(gas_price(node, blocks=4)).blocks == 4


def test_base_fee_and_middle_tip_are_added_and_the_median_counts() -> None:
    history = {
        "oldestBlock": "0x10",
        "baseFeePerGas": ["0xa", "0x64", "0xc", "0xff"],  # the last one is that of the block to come
        "gasUsedRatio": [0.5, 1.0, 0.1],
        "reward": [["0x1"], ["0x5"], ["0x2"]],
    }
    assert asyncio.run(gas_price(SaidNode(history))) == GasPrice(0x12, 14, 3)


@pytest.mark.parametrize(
    "history",
    [
        None,
        {},
        {"oldestBlock": "0x1", "baseFeePerGas": [], "gasUsedRatio": []},
        {"oldestBlock": "0x1", "baseFeePerGas": ["0x1"], "gasUsedRatio": [0.1, 0.2], "reward": [["0x0"], ["0x0"]]},
        {"oldestBlock": "0x1", "baseFeePerGas": [hex(10**30)], "gasUsedRatio": [0.1], "reward": [["0x0"]]},
        {"oldestBlock": "0x1", "baseFeePerGas": ["cheap"], "gasUsedRatio": [0.1], "reward": [["0x0"]]},
    ],
)
def test_a_history_that_makes_no_sense_is_no_price(history: Any) -> None:
    with pytest.raises(BadAnswer, match="makes no sense"):
        asyncio.run(gas_price(SaidNode(history)))
