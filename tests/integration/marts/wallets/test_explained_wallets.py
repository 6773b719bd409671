"""`portfolio explain` works the figures of wallets and positions in protocols out again."""

from portfolio_pipelines.resources.warehouse import Warehouse
from tests.explained_figures import every, explained

MARTS = ("wallet_balances", "defi_positions", "portfolio_snapshots", "portfolio_holdings", "portfolio_breakdown")


def test_balances_positions_and_totals_are_worked_out_again(warehouse: Warehouse) -> None:
    with warehouse.connect() as marts:
        every(explained(marts, warehouse.lake, *MARTS), *MARTS)
