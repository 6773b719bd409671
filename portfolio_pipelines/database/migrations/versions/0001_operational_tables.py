"""Operational tables"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = '0001'
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table('assets',
    sa.Column('asset_id', sa.Text(), nullable=False, comment='Market id, such as coingecko:bitcoin'),
    sa.Column('symbol', sa.Text(), nullable=False, comment='Ticker shown to people; see asset_symbols for what it meant when'),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False, comment='crypto, index, or file: known from price files alone'),
    sa.Column('calendar', sa.Text(), nullable=False, comment='Days with a close: daily or weekdays'),
    sa.Column('coingecko_symbol', sa.Text(), nullable=True, comment="CoinGecko's name; null where it has none"),
    sa.Column('defillama_symbol', sa.Text(), nullable=True, comment="DefiLlama's name; null where it has none"),
    sa.Column('yahoo_symbol', sa.Text(), nullable=True, comment="Yahoo's name; null where it has none or is unclear"),
    sa.CheckConstraint("calendar in ('daily', 'weekdays')", name=op.f('ck_assets_calendar')),
    sa.CheckConstraint("kind in ('crypto', 'index', 'file')", name=op.f('ck_assets_kind')),
    sa.PrimaryKeyConstraint('asset_id', name=op.f('pk_assets')),
    schema='app',
    comment='Everything that has a price, by market id; a ticker is never a key'
    )
    op.create_table('check_results',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('check_name', sa.Text(), nullable=False),
    sa.Column('asset', sa.Text(), nullable=False),
    sa.Column('severity', sa.Text(), nullable=False, comment='ERROR or WARN'),
    sa.Column('passed', sa.Boolean(), nullable=False),
    sa.Column('run_id', sa.Text(), nullable=False),
    sa.Column('checked_at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('details', postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment='Counts behind the verdict'),
    sa.CheckConstraint("severity in ('ERROR', 'WARN')", name=op.f('ck_check_results_severity')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_check_results')),
    schema='app',
    comment='Verdicts of quality checks, all runs'
    )
    op.create_index(op.f('ix_check_results_checked_at'), 'check_results', ['checked_at'], unique=False, schema='app')
    op.create_table('imports',
    sa.Column('import_id', sa.Integer(), sa.Identity(always=False), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False, comment='investments or prices'),
    sa.Column('file_name', sa.Text(), nullable=False, comment='Name without folder'),
    sa.Column('file_hash', sa.Text(), nullable=False, comment='SHA-256 of the content, hexadecimal'),
    sa.Column('n_rows', sa.Integer(), nullable=False, comment='Data rows in the file'),
    sa.Column('imported_at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('imported_by', sa.Text(), nullable=False, comment='Who ran the import'),
    sa.CheckConstraint("kind in ('investments', 'prices')", name=op.f('ck_imports_kind')),
    sa.PrimaryKeyConstraint('import_id', name=op.f('pk_imports')),
    schema='app',
    comment='Files that were imported; a file that changed nothing leaves no row'
    )
    op.create_index('uq_imports_price_file', 'imports', ['file_hash'], unique=True, schema='app', postgresql_where=sa.text("kind = 'prices'"))
    op.create_table('partition_log',
    sa.Column('table_name', sa.Text(), nullable=False),
    sa.Column('partition', sa.Text(), nullable=False, comment='Day, or empty for a table without partitions'),
    sa.Column('run_id', sa.Text(), nullable=False),
    sa.Column('code_version', sa.Text(), nullable=False),
    sa.Column('input_hash', sa.Text(), nullable=False),
    sa.Column('content_hash', sa.Text(), nullable=False),
    sa.Column('written_at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('table_name', 'partition', name=op.f('pk_partition_log')),
    schema='app',
    comment='Who wrote which partition last, with which code, from which input'
    )
    op.create_index(op.f('ix_partition_log_written_at'), 'partition_log', ['written_at'], unique=False, schema='app')
    op.create_table('rate_reservations',
    sa.Column('provider', sa.Text(), nullable=False),
    sa.Column('next_free_at', postgresql.TIMESTAMP(timezone=True), nullable=False, comment='The next request may be sent at this time'),
    sa.Column('blocked_until', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='The provider asked us to wait until then'),
    sa.PrimaryKeyConstraint('provider', name=op.f('pk_rate_reservations')),
    schema='app',
    comment='Pace of requests to each provider, shared by all processes'
    )
    op.create_table('users',
    sa.Column('user_key', sa.Integer(), sa.Identity(always=False), nullable=False, comment='Small key used inside the lake'),
    sa.Column('user_id', sa.Text(), nullable=False, comment='The id that people use'),
    sa.Column('created_at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False, comment='First seen'),
    sa.PrimaryKeyConstraint('user_key', name=op.f('pk_users')),
    sa.UniqueConstraint('user_id', name=op.f('uq_users_user_id')),
    schema='app',
    comment='Users, known by an opaque text id'
    )
    op.create_table('asset_successions',
    sa.Column('asset_id', sa.Text(), nullable=False),
    sa.Column('successor_id', sa.Text(), nullable=False),
    sa.Column('units_before', sa.Numeric(), nullable=False),
    sa.Column('units_after', sa.Numeric(), nullable=False),
    sa.Column('effective_on', sa.Date(), nullable=False, comment='From this day on the holding is the successor'),
    sa.CheckConstraint('units_before > 0 and units_after > 0', name=op.f('ck_asset_successions_units')),
    sa.ForeignKeyConstraint(['asset_id'], ['app.assets.asset_id'], name=op.f('fk_asset_successions_asset_id_assets')),
    sa.ForeignKeyConstraint(['successor_id'], ['app.assets.asset_id'], name=op.f('fk_asset_successions_successor_id_assets')),
    sa.PrimaryKeyConstraint('asset_id', name=op.f('pk_asset_successions')),
    schema='app',
    comment='Migrations: units_before of the asset became units_after of the successor'
    )
    op.create_table('asset_symbols',
    sa.Column('symbol_key', sa.Integer(), sa.Identity(always=False), nullable=False),
    sa.Column('symbol', sa.Text(), nullable=False, comment='Upper case'),
    sa.Column('asset_id', sa.Text(), nullable=False),
    sa.Column('valid_from', sa.Date(), nullable=True, comment='First day; null for since ever'),
    sa.Column('valid_to', sa.Date(), nullable=True, comment='First day on which it no longer holds; null for still'),
    sa.CheckConstraint('symbol = upper(symbol)', name=op.f('ck_asset_symbols_upper')),
    sa.CheckConstraint('valid_from < valid_to', name=op.f('ck_asset_symbols_range')),
    sa.ForeignKeyConstraint(['asset_id'], ['app.assets.asset_id'], name=op.f('fk_asset_symbols_asset_id_assets')),
    sa.PrimaryKeyConstraint('symbol_key', name=op.f('pk_asset_symbols')),
    sa.UniqueConstraint('symbol', 'asset_id', 'valid_from', name=op.f('uq_asset_symbols_symbol_asset_id_valid_from'), postgresql_nulls_not_distinct=True),
    schema='app',
    comment='What a ticker meant on which days, half-open [valid_from, valid_to)'
    )
    op.create_index(op.f('ix_asset_symbols_asset_id'), 'asset_symbols', ['asset_id'], unique=False, schema='app')
    op.create_table('investments',
    sa.Column('investment_key', sa.Integer(), sa.Identity(always=False), nullable=False, comment='Small key used inside the lake'),
    sa.Column('user_key', sa.Integer(), nullable=False),
    sa.Column('investment_id', sa.Text(), nullable=False, comment='The id that people use, unique per user'),
    sa.ForeignKeyConstraint(['user_key'], ['app.users.user_key'], name=op.f('fk_investments_user_key_users')),
    sa.PrimaryKeyConstraint('investment_key', name=op.f('pk_investments')),
    sa.UniqueConstraint('user_key', 'investment_id', name=op.f('uq_investments_user_key_investment_id')),
    schema='app',
    comment='Investments; their coins are investment_legs'
    )
    op.create_table('price_overrides',
    sa.Column('override_id', sa.Integer(), sa.Identity(always=False), nullable=False),
    sa.Column('asset_id', sa.Text(), nullable=False),
    sa.Column('day', sa.Date(), nullable=False, comment='UTC day of the close'),
    sa.Column('close_usd', sa.Numeric(), nullable=False, comment='The close, US dollars'),
    sa.Column('who', sa.Text(), nullable=False),
    sa.Column('why', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False, comment='manual: use this price; confirm_jump: the jump to this price is real'),
    sa.Column('created_at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('withdrawn_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='Null while it holds'),
    sa.Column('withdrawn_by', sa.Text(), nullable=True),
    sa.Column('withdrawn_why', sa.Text(), nullable=True),
    sa.CheckConstraint("close_usd > 0 and close_usd < 'Infinity'", name=op.f('ck_price_overrides_positive')),
    sa.CheckConstraint("kind in ('manual', 'confirm_jump')", name=op.f('ck_price_overrides_kind')),
    sa.CheckConstraint("who <> '' and why <> ''", name=op.f('ck_price_overrides_answerable')),
    sa.ForeignKeyConstraint(['asset_id'], ['app.assets.asset_id'], name=op.f('fk_price_overrides_asset_id_assets')),
    sa.PrimaryKeyConstraint('override_id', name=op.f('pk_price_overrides')),
    schema='app',
    comment='Prices that a person stands for, or jumps that a person confirmed; withdrawn, never changed'
    )
    op.create_index('uq_price_overrides_active', 'price_overrides', ['asset_id', 'day'], unique=True, schema='app', postgresql_where=sa.text('withdrawn_at is null'))
    op.create_table('investment_legs',
    sa.Column('investment_key', sa.Integer(), nullable=False),
    sa.Column('asset_id', sa.Text(), nullable=False),
    sa.Column('version', sa.Integer(), autoincrement=False, nullable=False, comment='1, 2, … per leg'),
    sa.Column('invested_at', postgresql.TIMESTAMP(timezone=True), nullable=False, comment='Moment of the purchase, UTC'),
    sa.Column('amount_usd', sa.Numeric(), nullable=False, comment='Money spent on this coin, US dollars, exact'),
    sa.Column('quantity', sa.Numeric(precision=78, scale=18), nullable=False, comment='Coins bought'),
    sa.Column('quantity_source', sa.Text(), nullable=False, comment='given by the file, or derived: amount / close of the day'),
    sa.Column('price_usd', sa.Numeric(), nullable=True, comment='Close that a derived quantity rests on, US dollars'),
    sa.Column('price_source', sa.Text(), nullable=True, comment='Provider of that close; null when the quantity is given'),
    sa.Column('known_at', postgresql.TIMESTAMP(timezone=True), nullable=False, comment='Since when we know this version'),
    sa.Column('superseded_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When a later version replaced it; null = current'),
    sa.Column('import_id', sa.Integer(), nullable=True, comment='File it came from; null when the platform corrected it'),
    sa.Column('row_number', sa.Integer(), nullable=True, comment='Row of that file'),
    sa.Column('reason', sa.Text(), nullable=False, comment='imported, or what the correction changed'),
    sa.CheckConstraint("(quantity_source = 'given' and price_source is null) or (quantity_source = 'derived' and price_usd is not null and price_source is not null)", name=op.f('ck_investment_legs_quantity_source')),
    sa.CheckConstraint('amount_usd > 0 and quantity > 0 and price_usd > 0', name=op.f('ck_investment_legs_positive')),
    sa.ForeignKeyConstraint(['asset_id'], ['app.assets.asset_id'], name=op.f('fk_investment_legs_asset_id_assets')),
    sa.ForeignKeyConstraint(['import_id'], ['app.imports.import_id'], name=op.f('fk_investment_legs_import_id_imports')),
    sa.ForeignKeyConstraint(['investment_key'], ['app.investments.investment_key'], name=op.f('fk_investment_legs_investment_key_investments')),
    sa.PrimaryKeyConstraint('investment_key', 'asset_id', 'version', name=op.f('pk_investment_legs')),
    schema='app',
    comment='Coins of investments with all their versions; the current one has no superseded_at'
    )
    op.create_index('uq_investment_legs_current', 'investment_legs', ['investment_key', 'asset_id'], unique=True, schema='app', postgresql_where=sa.text('superseded_at is null'))
    op.execute("""
        create function app.refuse_rewriting_overrides() returns trigger language plpgsql as $$
        begin
            if tg_op = 'DELETE' or old.withdrawn_at is not null
               or (new.override_id, new.asset_id, new.day, new.close_usd, new.who, new.why, new.kind, new.created_at)
                  is distinct from
                  (old.override_id, old.asset_id, old.day, old.close_usd, old.who, old.why, old.kind, old.created_at)
            then raise exception 'price overrides are append-only: withdraw it and add another';
            end if;
            return new;
        end $$
    """)
    op.execute("""
        create trigger append_only before update or delete on app.price_overrides
        for each row execute function app.refuse_rewriting_overrides()
    """)


def downgrade() -> None:
    op.execute("drop trigger append_only on app.price_overrides")
    op.execute("drop function app.refuse_rewriting_overrides()")
    op.drop_index('uq_investment_legs_current', table_name='investment_legs', schema='app', postgresql_where=sa.text('superseded_at is null'))
    op.drop_table('investment_legs', schema='app')
    op.drop_index('uq_price_overrides_active', table_name='price_overrides', schema='app', postgresql_where=sa.text('withdrawn_at is null'))
    op.drop_table('price_overrides', schema='app')
    op.drop_table('investments', schema='app')
    op.drop_index(op.f('ix_asset_symbols_asset_id'), table_name='asset_symbols', schema='app')
    op.drop_table('asset_symbols', schema='app')
    op.drop_table('asset_successions', schema='app')
    op.drop_table('users', schema='app')
    op.drop_table('rate_reservations', schema='app')
    op.drop_index(op.f('ix_partition_log_written_at'), table_name='partition_log', schema='app')
    op.drop_table('partition_log', schema='app')
    op.drop_index('uq_imports_price_file', table_name='imports', schema='app', postgresql_where=sa.text("kind = 'prices'"))
    op.drop_table('imports', schema='app')
    op.drop_index(op.f('ix_check_results_checked_at'), table_name='check_results', schema='app')
    op.drop_table('check_results', schema='app')
    op.drop_table('assets', schema='app')
