"""Wallets, liquidity positions, chain tokens, and what is known of endpoints"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = '0002'
down_revision: str | None = '0001'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table('chain_cursors',
    sa.Column('chain_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('purpose', sa.Text(), nullable=False, comment='What is scanned, such as transfers'),
    sa.Column('block_number', sa.BigInteger(), nullable=False),
    sa.Column('block_hash', sa.Text(), nullable=False),
    sa.Column('updated_at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('chain_id', 'purpose', name=op.f('pk_chain_cursors')),
    schema='app',
    comment='Last block that each scan of each chain has seen; the hash shows reorganisations'
    )
    op.create_table('chain_tokens',
    sa.Column('token_key', sa.Integer(), sa.Identity(always=False), nullable=False, comment='Small key used inside the lake'),
    sa.Column('chain_id', sa.BigInteger(), nullable=False, comment='Id of the chain in the registry'),
    sa.Column('address', sa.Text(), nullable=False, comment="EVM: 0x and 40 lower-case hex digits; else as the chain spells it; 'native' for the chain's own coin"),
    sa.Column('asset_id', sa.Text(), nullable=False, comment='Chain-qualified id, such as eip155:1/erc20:0x…'),
    sa.Column('symbol', sa.Text(), nullable=True, comment='As the contract or a list says; anyone can write anything here'),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('decimals', sa.SmallInteger(), nullable=True, comment='Null when the contract does not say'),
    sa.Column('is_rebasing', sa.Boolean(), nullable=False, comment='Balances change without transfers: read it every time'),
    sa.Column('coingecko_id', sa.Text(), nullable=True, comment="CoinGecko's name for it; null where it has none"),
    sa.Column('source', sa.Text(), nullable=False, comment='shipped: from the token list; user: added by hand; discovered: met'),
    sa.Column('first_seen_block', sa.BigInteger(), nullable=True, comment='Block of the transfer that showed it'),
    sa.Column('first_seen_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='Time of that block'),
    sa.Column('added_at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('added_by', sa.Text(), nullable=True, comment='Who added it by hand; null for the other sources'),
    sa.CheckConstraint("address !~* '^0x' or address ~ '^0x[0-9a-f]{40}$'", name=op.f('ck_chain_tokens_address')),
    sa.CheckConstraint("source in ('shipped', 'user', 'discovered')", name=op.f('ck_chain_tokens_source')),
    sa.CheckConstraint('decimals between 0 and 255', name=op.f('ck_chain_tokens_decimals')),
    sa.PrimaryKeyConstraint('token_key', name=op.f('pk_chain_tokens')),
    sa.UniqueConstraint('asset_id', name=op.f('uq_chain_tokens_asset_id')),
    sa.UniqueConstraint('chain_id', 'address', name=op.f('uq_chain_tokens_chain_id_address')),
    schema='app',
    comment='Tokens that were ever met, by chain and address; a symbol is never a key'
    )
    op.create_table('endpoint_capabilities',
    sa.Column('chain_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('endpoint', sa.Text(), nullable=False, comment='Its name, never its URL: that may hold a key'),
    sa.Column('capabilities', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('probed_at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('chain_id', 'endpoint', name=op.f('pk_endpoint_capabilities')),
    schema='app',
    comment='What each endpoint of each chain can do, as probed; asked again when too old'
    )
    op.create_table('endpoint_health',
    sa.Column('chain_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('endpoint', sa.Text(), nullable=False, comment='Its name, never its URL: that may hold a key'),
    sa.Column('last_ok_at', postgresql.TIMESTAMP(timezone=True), nullable=True),
    sa.Column('last_error_at', postgresql.TIMESTAMP(timezone=True), nullable=True),
    sa.Column('last_error', sa.Text(), nullable=True, comment='What went wrong then'),
    sa.Column('failures', sa.Integer(), nullable=False, comment='Failures since it last answered'),
    sa.CheckConstraint('failures >= 0', name=op.f('ck_endpoint_health_failures')),
    sa.PrimaryKeyConstraint('chain_id', 'endpoint', name=op.f('pk_endpoint_health')),
    schema='app',
    comment='When each endpoint of each chain last answered or failed'
    )
    op.create_table('liquidity_pools',
    sa.Column('pool_key', sa.Integer(), sa.Identity(always=False), nullable=False),
    sa.Column('chain', sa.Text(), nullable=False, comment='Slug of the chain'),
    sa.Column('address', sa.Text(), nullable=False, comment='0x and 40 lower-case hex digits'),
    sa.Column('protocol', sa.Text(), nullable=True, comment='uniswap_v2, sushiswap, uniswap_v3 or curve, by how its contract answers; null until it is checked'),
    sa.Column('tokens', postgresql.ARRAY(sa.Text()), nullable=False, comment='Its coins in the order of the contract'),
    sa.Column('facts', postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment='What else it said: factory, fee, tick spacing …'),
    sa.Column('is_verified', sa.Boolean(), nullable=True, comment='A factory that we know confirms the pool; false when its factory is not known'),
    sa.Column('checked_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When the chain was asked; null when it was not yet'),
    sa.CheckConstraint("address ~ '^0x[0-9a-f]{40}$'", name=op.f('ck_liquidity_pools_address')),
    sa.CheckConstraint('(checked_at is null) = (protocol is null) and (checked_at is null) = (is_verified is null)', name=op.f('ck_liquidity_pools_checked')),
    sa.PrimaryKeyConstraint('pool_key', name=op.f('pk_liquidity_pools')),
    sa.UniqueConstraint('chain', 'address', name=op.f('uq_liquidity_pools_chain_address')),
    schema='app',
    comment='Pools that liquidity positions name; what never changes about them, read from the chain'
    )
    op.create_table('token_quarantine',
    sa.Column('quarantine_id', sa.Integer(), sa.Identity(always=False), nullable=False),
    sa.Column('token_key', sa.Integer(), nullable=False),
    sa.Column('score', sa.Numeric(), nullable=False, comment='How suspicious, 0 to 1, at the last look'),
    sa.Column('reasons', postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment='What spoke against it, at the last look'),
    sa.Column('since', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('until', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='Null while it holds'),
    sa.CheckConstraint('since <= "until"', name=op.f('ck_token_quarantine_span')),
    sa.ForeignKeyConstraint(['token_key'], ['app.chain_tokens.token_key'], name=op.f('fk_token_quarantine_token_key_chain_tokens')),
    sa.PrimaryKeyConstraint('quarantine_id', name=op.f('pk_token_quarantine')),
    schema='app',
    comment='Tokens that look like spam and count in no total; ended, never deleted'
    )
    op.create_index(op.f('ix_token_quarantine_token_key'), 'token_quarantine', ['token_key'], unique=False, schema='app')
    op.create_index('uq_token_quarantine_current', 'token_quarantine', ['token_key'], unique=True, schema='app', postgresql_where=sa.text('"until" is null'))
    op.create_table('token_whitelist',
    sa.Column('whitelist_id', sa.Integer(), sa.Identity(always=False), nullable=False),
    sa.Column('token_key', sa.Integer(), nullable=False),
    sa.Column('user_key', sa.Integer(), nullable=True, comment='For whom; null for everyone'),
    sa.Column('who', sa.Text(), nullable=False),
    sa.Column('why', sa.Text(), nullable=False),
    sa.Column('created_at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('withdrawn_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='Null while it holds'),
    sa.Column('withdrawn_by', sa.Text(), nullable=True),
    sa.Column('withdrawn_why', sa.Text(), nullable=True),
    sa.CheckConstraint("who <> '' and why <> ''", name=op.f('ck_token_whitelist_answerable')),
    sa.ForeignKeyConstraint(['token_key'], ['app.chain_tokens.token_key'], name=op.f('fk_token_whitelist_token_key_chain_tokens')),
    sa.ForeignKeyConstraint(['user_key'], ['app.users.user_key'], name=op.f('fk_token_whitelist_user_key_users')),
    sa.PrimaryKeyConstraint('whitelist_id', name=op.f('pk_token_whitelist')),
    schema='app',
    comment='Tokens that count although they look like spam; withdrawn, never deleted'
    )
    op.create_index(op.f('ix_token_whitelist_user_key'), 'token_whitelist', ['user_key'], unique=False, schema='app')
    op.create_index('uq_token_whitelist_current', 'token_whitelist', ['token_key', 'user_key'], unique=True, schema='app', postgresql_nulls_not_distinct=True, postgresql_where=sa.text('withdrawn_at is null'))
    op.create_table('wallets',
    sa.Column('wallet_key', sa.Integer(), sa.Identity(always=False), nullable=False, comment='Small key used inside the lake'),
    sa.Column('user_key', sa.Integer(), nullable=False),
    sa.Column('address', sa.Text(), nullable=False, comment='EVM: 0x and 40 lower-case hex digits; else as its network spells it'),
    sa.Column('family', sa.Text(), nullable=False, comment='evm, solana or bitcoin: the kind of chains the address lives on'),
    sa.Column('slot', sa.SmallInteger(), nullable=True, comment="Place among the user's 20 wallets; null when removed"),
    sa.Column('added_at', postgresql.TIMESTAMP(timezone=True), nullable=False, comment='When it was added first'),
    sa.Column('added_by', sa.Text(), nullable=False),
    sa.Column('removed_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='Null while it is watched'),
    sa.Column('removed_by', sa.Text(), nullable=True),
    sa.CheckConstraint("(family = 'evm') = (address ~ '^0x[0-9a-f]{40}$')", name=op.f('ck_wallets_address')),
    sa.CheckConstraint("family in ('evm', 'solana', 'bitcoin')", name=op.f('ck_wallets_family')),
    sa.CheckConstraint('(slot is null) = (removed_at is not null)', name=op.f('ck_wallets_removed')),
    sa.CheckConstraint('slot between 1 and 20', name=op.f('ck_wallets_slot')),
    sa.ForeignKeyConstraint(['user_key'], ['app.users.user_key'], name=op.f('fk_wallets_user_key_users')),
    sa.PrimaryKeyConstraint('wallet_key', name=op.f('pk_wallets')),
    sa.UniqueConstraint('user_key', 'address', name=op.f('uq_wallets_user_key_address')),
    sa.UniqueConstraint('user_key', 'slot', name=op.f('uq_wallets_user_key_slot')),
    schema='app',
    comment='Addresses that users watch; label and chains are in wallet_versions'
    )
    op.create_table('liquidity_positions',
    sa.Column('position_key', sa.Integer(), sa.Identity(always=False), nullable=False, comment='Small key used inside the lake'),
    sa.Column('user_key', sa.Integer(), nullable=False),
    sa.Column('pool_key', sa.Integer(), nullable=False),
    sa.Column('wallet_key', sa.Integer(), nullable=True, comment='Wallet that holds it, where the user said which'),
    sa.Column('entry_date', sa.Date(), nullable=False, comment='UTC day of the deposit'),
    sa.Column('slot', sa.SmallInteger(), nullable=True, comment="Place among the user's 50 positions; null when removed"),
    sa.Column('added_at', postgresql.TIMESTAMP(timezone=True), nullable=False, comment='When it was added first'),
    sa.Column('added_by', sa.Text(), nullable=False),
    sa.Column('removed_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='Null while it is followed'),
    sa.Column('removed_by', sa.Text(), nullable=True),
    sa.CheckConstraint('(slot is null) = (removed_at is not null)', name=op.f('ck_liquidity_positions_removed')),
    sa.CheckConstraint('slot between 1 and 50', name=op.f('ck_liquidity_positions_slot')),
    sa.ForeignKeyConstraint(['pool_key'], ['app.liquidity_pools.pool_key'], name=op.f('fk_liquidity_positions_pool_key_liquidity_pools')),
    sa.ForeignKeyConstraint(['user_key'], ['app.users.user_key'], name=op.f('fk_liquidity_positions_user_key_users')),
    sa.ForeignKeyConstraint(['wallet_key'], ['app.wallets.wallet_key'], name=op.f('fk_liquidity_positions_wallet_key_wallets')),
    sa.PrimaryKeyConstraint('position_key', name=op.f('pk_liquidity_positions')),
    sa.UniqueConstraint('user_key', 'pool_key', 'wallet_key', 'entry_date', name=op.f('uq_liquidity_positions_user_key_pool_key_wallet_key_entry_date'), postgresql_nulls_not_distinct=True),
    sa.UniqueConstraint('user_key', 'slot', name=op.f('uq_liquidity_positions_user_key_slot')),
    schema='app',
    comment='Liquidity positions that users entered; price and amounts are in liquidity_position_versions'
    )
    op.create_index(op.f('ix_liquidity_positions_pool_key'), 'liquidity_positions', ['pool_key'], unique=False, schema='app')
    op.create_index(op.f('ix_liquidity_positions_wallet_key'), 'liquidity_positions', ['wallet_key'], unique=False, schema='app')
    op.create_table('wallet_versions',
    sa.Column('wallet_key', sa.Integer(), nullable=False),
    sa.Column('version', sa.Integer(), autoincrement=False, nullable=False, comment='1, 2, … per wallet'),
    sa.Column('label', sa.Text(), nullable=True, comment='Name that the user gave it'),
    sa.Column('chains', postgresql.ARRAY(sa.Text()), nullable=False, comment='Slugs of the chains to read, sorted; empty for all that are enabled'),
    sa.Column('known_at', postgresql.TIMESTAMP(timezone=True), nullable=False, comment='Since when we know this version'),
    sa.Column('superseded_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When a later version or the removal ended it'),
    sa.Column('import_id', sa.Integer(), nullable=True, comment='File it came from'),
    sa.Column('row_number', sa.Integer(), nullable=True, comment='Row of that file'),
    sa.Column('reason', sa.Text(), nullable=False, comment='imported, or what the new version changed'),
    sa.ForeignKeyConstraint(['import_id'], ['app.imports.import_id'], name=op.f('fk_wallet_versions_import_id_imports')),
    sa.ForeignKeyConstraint(['wallet_key'], ['app.wallets.wallet_key'], name=op.f('fk_wallet_versions_wallet_key_wallets')),
    sa.PrimaryKeyConstraint('wallet_key', 'version', name=op.f('pk_wallet_versions')),
    schema='app',
    comment='Label and chains of wallets, all versions; the current one has no superseded_at'
    )
    op.create_index('uq_wallet_versions_current', 'wallet_versions', ['wallet_key'], unique=True, schema='app', postgresql_where=sa.text('superseded_at is null'))
    op.create_table('liquidity_position_versions',
    sa.Column('position_key', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('version', sa.Integer(), autoincrement=False, nullable=False, comment='1, 2, … per position'),
    sa.Column('label', sa.Text(), nullable=True, comment='Name that the user gave it'),
    sa.Column('entry_price', sa.Numeric(), nullable=False, comment="On entry, units of the pool's other token for one whole unit of the token in price_of"),
    sa.Column('price_of', sa.Text(), nullable=False, comment='token0 or token1: the token that entry_price is the price of'),
    sa.Column('amount0', sa.Numeric(precision=78, scale=18), nullable=True, comment='Whole units of the first token that were put in; null when not said'),
    sa.Column('amount1', sa.Numeric(precision=78, scale=18), nullable=True, comment='Whole units of the second token that were put in; null when not said'),
    sa.Column('known_at', postgresql.TIMESTAMP(timezone=True), nullable=False, comment='Since when we know this version'),
    sa.Column('superseded_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When a later version or the removal ended it'),
    sa.Column('import_id', sa.Integer(), nullable=True, comment='File it came from'),
    sa.Column('row_number', sa.Integer(), nullable=True, comment='Row of that file'),
    sa.Column('reason', sa.Text(), nullable=False, comment='imported, or what the new version changed'),
    sa.CheckConstraint("entry_price > 0 and entry_price < 'Infinity'", name=op.f('ck_liquidity_position_versions_entry_price')),
    sa.CheckConstraint("price_of in ('token0', 'token1')", name=op.f('ck_liquidity_position_versions_price_of')),
    sa.CheckConstraint('(amount0 is null) = (amount1 is null)', name=op.f('ck_liquidity_position_versions_both_amounts')),
    sa.CheckConstraint('amount0 >= 0 and amount1 >= 0 and amount0 + amount1 > 0', name=op.f('ck_liquidity_position_versions_amounts')),
    sa.ForeignKeyConstraint(['import_id'], ['app.imports.import_id'], name=op.f('fk_liquidity_position_versions_import_id_imports')),
    sa.ForeignKeyConstraint(['position_key'], ['app.liquidity_positions.position_key'], name=op.f('fk_liquidity_position_versions_position_key_liquidity_positions')),
    sa.PrimaryKeyConstraint('position_key', 'version', name=op.f('pk_liquidity_position_versions')),
    schema='app',
    comment='Price and amounts of liquidity positions, all versions; the current one has no superseded_at'
    )
    op.create_index('uq_liquidity_position_versions_current', 'liquidity_position_versions', ['position_key'], unique=True, schema='app', postgresql_where=sa.text('superseded_at is null'))
    op.alter_column('imports', 'kind',
               existing_type=sa.TEXT(),
               comment='investments, prices, wallets or liquidity_positions',
               existing_comment='investments or prices',
               existing_nullable=False,
               schema='app')
    op.drop_constraint(op.f('ck_imports_kind'), 'imports', schema='app', type_='check')
    op.create_check_constraint(op.f('ck_imports_kind'), 'imports', "kind in ('investments', 'prices', 'wallets', 'liquidity_positions')", schema='app')


def downgrade() -> None:
    op.drop_index('uq_liquidity_position_versions_current', table_name='liquidity_position_versions', schema='app', postgresql_where=sa.text('superseded_at is null'))
    op.drop_table('liquidity_position_versions', schema='app')
    op.drop_index('uq_wallet_versions_current', table_name='wallet_versions', schema='app', postgresql_where=sa.text('superseded_at is null'))
    op.drop_table('wallet_versions', schema='app')
    op.drop_index(op.f('ix_liquidity_positions_wallet_key'), table_name='liquidity_positions', schema='app')
    op.drop_index(op.f('ix_liquidity_positions_pool_key'), table_name='liquidity_positions', schema='app')
    op.drop_table('liquidity_positions', schema='app')
    op.drop_table('wallets', schema='app')
    op.drop_index('uq_token_whitelist_current', table_name='token_whitelist', schema='app', postgresql_nulls_not_distinct=True, postgresql_where=sa.text('withdrawn_at is null'))
    op.drop_index(op.f('ix_token_whitelist_user_key'), table_name='token_whitelist', schema='app')
    op.drop_table('token_whitelist', schema='app')
    op.drop_index('uq_token_quarantine_current', table_name='token_quarantine', schema='app', postgresql_where=sa.text('"until" is null'))
    op.drop_index(op.f('ix_token_quarantine_token_key'), table_name='token_quarantine', schema='app')
    op.drop_table('token_quarantine', schema='app')
    op.drop_table('liquidity_pools', schema='app')
    op.drop_table('endpoint_health', schema='app')
    op.drop_table('endpoint_capabilities', schema='app')
    op.drop_table('chain_tokens', schema='app')
    op.drop_table('chain_cursors', schema='app')
    op.execute("delete from app.imports where kind in ('wallets', 'liquidity_positions')")
    op.drop_constraint(op.f('ck_imports_kind'), 'imports', schema='app', type_='check')
    op.create_check_constraint(op.f('ck_imports_kind'), 'imports', "kind in ('investments', 'prices')", schema='app')
    op.alter_column('imports', 'kind',
               existing_type=sa.TEXT(),
               comment='investments or prices',
               existing_comment='investments, prices, wallets or liquidity_positions',
               existing_nullable=False,
               schema='app')
