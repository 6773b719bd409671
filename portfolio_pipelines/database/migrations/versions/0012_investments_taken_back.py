"""Investments can be taken back, and it is kept who did"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = '0012'
down_revision: str | None = '0011'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

FORMER_OF_TABLE = 'Coins of investments with all their versions; the current one has no superseded_at'
FORMER = 'When a later version replaced it; null = current'


def upgrade() -> None:
    op.add_column('investment_legs', sa.Column('ended_by', sa.Text(), nullable=True, comment='Who took it back; null while it holds or was corrected'), schema='app')
    op.alter_column('investment_legs', 'superseded_at', comment='When a later version replaced it or it was taken back; null = current', schema='app')
    op.create_table_comment('investment_legs', 'Coins of investments with all their versions; the current one has no superseded_at, one that was taken back none', existing_comment=FORMER_OF_TABLE, schema='app')


def downgrade() -> None:
    op.create_table_comment('investment_legs', FORMER_OF_TABLE, schema='app')
    op.alter_column('investment_legs', 'superseded_at', comment=FORMER, schema='app')
    op.drop_column('investment_legs', 'ended_by', schema='app')
