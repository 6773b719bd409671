"""Assets that wallets hold, so that they get a price on the days on which they do"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = '0003'
down_revision: str | None = '0002'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table('held_assets',
    sa.Column('asset_id', sa.Text(), nullable=False, comment='Whose price counts: coingecko:<id>, or the id of the token itself'),
    sa.Column('coingecko_symbol', sa.Text(), nullable=True, comment="CoinGecko's name; null where it has none"),
    sa.Column('defillama_symbol', sa.Text(), nullable=True, comment="DefiLlama's name; null where it has none"),
    sa.Column('held_since', sa.Date(), nullable=False, comment='First day on which a wallet was seen to hold it'),
    sa.Column('held_until', sa.Date(), nullable=False, comment='Last day on which a wallet was seen to hold it'),
    sa.CheckConstraint('held_since <= held_until', name=op.f('ck_held_assets_span')),
    sa.PrimaryKeyConstraint('asset_id', name=op.f('pk_held_assets')),
    schema='app',
    comment='Assets that wallets hold, and the days on which they did: they need a price then'
    )


def downgrade() -> None:
    op.drop_table('held_assets', schema='app')
