"""Pools of liquidity positions may be weighted ones"""

from collections.abc import Sequence

from alembic import op

revision: str = '0010'
down_revision: str | None = '0009'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

FORMER = 'uniswap_v2, sushiswap, uniswap_v3 or curve, by how its contract answers; null until it is checked'
FORMER_FACTS = 'What else it said: factory, fee, tick spacing …'


def upgrade() -> None:
    op.alter_column('liquidity_pools', 'protocol', comment='uniswap_v2, sushiswap, uniswap_v3, curve or balancer_v2, by how its contract answers; null until it is checked', schema='app')
    op.alter_column('liquidity_pools', 'facts', comment='What else it said: factory, fee, tick spacing, weights …', schema='app')


def downgrade() -> None:
    op.alter_column('liquidity_pools', 'facts', comment=FORMER_FACTS, schema='app')
    op.alter_column('liquidity_pools', 'protocol', comment=FORMER, schema='app')
