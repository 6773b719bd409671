"""Which tokens are receipts, and of what: asked of the contract once"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = '0004'
down_revision: str | None = '0003'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column('chain_tokens', sa.Column('receipt_kind', sa.Text(), nullable=True, comment='How its ratio is read; none: it is no receipt; refused: it claims what cannot be; null: never asked'), schema='app')
    op.add_column('chain_tokens', sa.Column('receipt_underlying', sa.Text(), nullable=True, comment="Address of what a receipt stands for, 'native' for the chain's own coin; null unless it is one"), schema='app')
    op.add_column('chain_tokens', sa.Column('receipt_refusal', sa.Text(), nullable=True, comment='Why it is refused as a receipt; null unless it is'), schema='app')
    op.create_check_constraint(op.f('ck_chain_tokens_receipt_kind'), 'chain_tokens', "receipt_kind in ('erc4626', 'wsteth', 'reth', 'ctoken', 'none', 'refused')", schema='app')
    op.create_check_constraint(op.f('ck_chain_tokens_receipt_underlying'), 'chain_tokens', "(receipt_underlying is not null) = (receipt_kind is not null and receipt_kind not in ('none', 'refused')) and receipt_underlying is distinct from address", schema='app')
    op.create_check_constraint(op.f('ck_chain_tokens_receipt_refusal'), 'chain_tokens', "(receipt_refusal is not null) = (receipt_kind is not distinct from 'refused')", schema='app')


def downgrade() -> None:
    for name in ('receipt_refusal', 'receipt_underlying', 'receipt_kind'):
        op.drop_constraint(op.f(f'ck_chain_tokens_{name}'), 'chain_tokens', schema='app')
        op.drop_column('chain_tokens', name, schema='app')
