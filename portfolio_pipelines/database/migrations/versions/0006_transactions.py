"""Transactions that people hand in, with all their versions"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = '0006'
down_revision: str | None = '0005'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

KINDS = "kind in ('investments', 'prices', 'wallets', 'liquidity_positions'"
TYPES = (
    "'trade', 'deposit', 'withdrawal', 'transfer', 'income', 'reward', 'airdrop', 'mining', 'fork', 'rebase', "
    "'gift_received', 'gift_sent', 'spend', 'loss', 'fee', 'wrap', 'add_liquidity', 'remove_liquidity'"
)


def upgrade() -> None:
    op.drop_constraint(op.f('ck_imports_kind'), 'imports', schema='app')
    op.create_check_constraint(op.f('ck_imports_kind'), 'imports', f"{KINDS}, 'transactions')", schema='app')
    op.alter_column('imports', 'kind', comment='investments, prices, wallets, liquidity_positions or transactions', schema='app')
    op.create_table('transactions',
    sa.Column('transaction_key', sa.BigInteger(), sa.Identity(always=False), nullable=False, comment='Small key used inside the lake'),
    sa.Column('user_key', sa.Integer(), nullable=False),
    sa.Column('transaction_id', sa.Text(), nullable=False, comment='The id that people use, unique per user; legs share it'),
    sa.Column('leg', sa.SmallInteger(), nullable=False, comment='1, 2, … where one transaction has several rows'),
    sa.CheckConstraint('leg > 0', name=op.f('ck_transactions_leg')),
    sa.ForeignKeyConstraint(['user_key'], ['app.users.user_key'], name=op.f('fk_transactions_user_key_users')),
    sa.PrimaryKeyConstraint('transaction_key', name=op.f('pk_transactions')),
    sa.UniqueConstraint('user_key', 'transaction_id', 'leg', name=op.f('uq_transactions_user_key_transaction_id_leg')),
    schema='app',
    comment='Legs of transactions of users; what they say is in transaction_versions'
    )
    op.create_table('transaction_versions',
    sa.Column('transaction_key', sa.BigInteger(), nullable=False),
    sa.Column('version', sa.Integer(), autoincrement=False, nullable=False, comment='1, 2, … per leg'),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), nullable=False, comment='Moment of the transaction, UTC'),
    sa.Column('type', sa.Text(), nullable=False, comment='What happened; see the docs of transaction files'),
    sa.Column('venue', sa.Text(), nullable=False, comment='Wallet or exchange'),
    sa.Column('to_venue', sa.Text(), nullable=True, comment='Where a transfer arrived'),
    sa.Column('in_asset', sa.Text(), nullable=True, comment='Asset that came; money is fiat:usd and the like'),
    sa.Column('in_quantity', sa.Numeric(precision=38, scale=18), nullable=True),
    sa.Column('out_asset', sa.Text(), nullable=True, comment='Asset that went'),
    sa.Column('out_quantity', sa.Numeric(precision=38, scale=18), nullable=True, comment='Without the fee'),
    sa.Column('fee_asset', sa.Text(), nullable=True, comment='Asset that the fee was paid in'),
    sa.Column('fee_quantity', sa.Numeric(precision=38, scale=18), nullable=True, comment='On top of in and out'),
    sa.Column('value_usd', sa.Numeric(precision=38, scale=12), nullable=True, comment='Worth, where the file says it'),
    sa.Column('fee_value_usd', sa.Numeric(precision=38, scale=12), nullable=True, comment='Worth of the fee, where the file says it'),
    sa.Column('tx_hash', sa.Text(), nullable=True, comment='Hash on the chain'),
    sa.Column('chain', sa.Text(), nullable=True, comment='Chain that the block belongs to'),
    sa.Column('block_number', sa.BigInteger(), nullable=True),
    sa.Column('transaction_index', sa.Integer(), nullable=True, comment='Place in the block'),
    sa.Column('log_index', sa.Integer(), nullable=True, comment='Place of its event in the block'),
    sa.Column('known_at', postgresql.TIMESTAMP(timezone=True), nullable=False, comment='Since when we know this version'),
    sa.Column('superseded_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When a later version or its removal ended it'),
    sa.Column('import_id', sa.Integer(), nullable=False, comment='File it came from'),
    sa.Column('row_number', sa.Integer(), nullable=False, comment='Row of that file'),
    sa.Column('ended_by', sa.Text(), nullable=True, comment='Who removed it; null while it holds or was corrected'),
    sa.CheckConstraint('(in_asset is null) = (in_quantity is null) and (out_asset is null) = (out_quantity is null) and (fee_asset is null) = (fee_quantity is null) and coalesce(in_asset, out_asset, fee_asset) is not null', name=op.f('ck_transaction_versions_legs')),
    sa.CheckConstraint(f'type in ({TYPES})', name=op.f('ck_transaction_versions_type')),
    sa.CheckConstraint('in_quantity > 0 and out_quantity > 0 and fee_quantity > 0', name=op.f('ck_transaction_versions_positive')),
    sa.CheckConstraint('value_usd >= 0 and fee_value_usd >= 0', name=op.f('ck_transaction_versions_money')),
    sa.ForeignKeyConstraint(['import_id'], ['app.imports.import_id'], name=op.f('fk_transaction_versions_import_id_imports')),
    sa.ForeignKeyConstraint(['transaction_key'], ['app.transactions.transaction_key'], name=op.f('fk_transaction_versions_transaction_key_transactions')),
    sa.PrimaryKeyConstraint('transaction_key', 'version', name=op.f('pk_transaction_versions')),
    schema='app',
    comment='Transactions with all their versions; the current one has no superseded_at, a removed one none'
    )
    op.create_index('uq_transaction_versions_current', 'transaction_versions', ['transaction_key'], unique=True, schema='app', postgresql_where=sa.text('superseded_at is null'))


def downgrade() -> None:
    op.drop_table('transaction_versions', schema='app')
    op.drop_table('transactions', schema='app')
    op.execute("delete from app.imports where kind = 'transactions'")
    op.drop_constraint(op.f('ck_imports_kind'), 'imports', schema='app')
    op.create_check_constraint(op.f('ck_imports_kind'), 'imports', f'{KINDS})', schema='app')
    op.alter_column('imports', 'kind', comment='investments, prices, wallets or liquidity_positions', schema='app')
