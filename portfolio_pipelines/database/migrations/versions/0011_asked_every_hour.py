"""What every hour asks of all coins of investments is found along an index"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = '0011'
down_revision: str | None = '0010'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_index('ix_investment_legs_held_since', 'investment_legs', ['asset_id', 'invested_at'], unique=False, schema='app', postgresql_where=sa.text('superseded_at is null'))
    op.create_index('ix_investment_legs_sample', 'investment_legs', ['asset_id', 'invested_at'], unique=False, schema='app', postgresql_where=sa.text("price_source = 'sample'"))


def downgrade() -> None:
    op.drop_index('ix_investment_legs_sample', table_name='investment_legs', schema='app')
    op.drop_index('ix_investment_legs_held_since', table_name='investment_legs', schema='app')
