"""Messages that the platform owes to people, and the channels they are sent through"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = '0007'
down_revision: str | None = '0006'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table('notification_channels',
    sa.Column('channel_id', sa.Integer(), sa.Identity(always=False), nullable=False),
    sa.Column('user_key', sa.Integer(), nullable=True, comment='Whose channel; null for the operators of the installation'),
    sa.Column('kind', sa.Text(), nullable=False, comment='email, webhook, ntfy or apprise'),
    sa.Column('shown_address', sa.Text(), nullable=False, comment='The address without what could be a secret in it'),
    sa.Column('sealed_address', sa.Text(), nullable=True, comment='The whole address, encrypted; null once deleted'),
    sa.Column('sealed_secret', sa.Text(), nullable=True, comment='Signing secret of a webhook, encrypted'),
    sa.Column('sealed_previous_secret', sa.Text(), nullable=True, comment='The secret before it, encrypted'),
    sa.Column('previous_until', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='Until then both secrets sign'),
    sa.Column('least_severity', sa.Text(), nullable=False, comment='Messages below are not sent: info, warning or critical'),
    sa.Column('time_zone', sa.Text(), nullable=True, comment='Times are also given in this zone, such as Europe/Berlin'),
    sa.Column('code_hash', sa.Text(), nullable=True, comment='Keyed hash of the verification code; null when none is open'),
    sa.Column('code_expires_at', postgresql.TIMESTAMP(timezone=True), nullable=True),
    sa.Column('code_tries', sa.Integer(), nullable=False, comment='Wrong codes given since it was sent'),
    sa.Column('verified_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='Nothing but the code is sent before'),
    sa.Column('paused_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='Its owner wants nothing for now'),
    sa.Column('disabled_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='The receiver said that it is gone'),
    sa.Column('disabled_why', sa.Text(), nullable=True),
    sa.Column('failures', sa.Integer(), nullable=False, comment='Times in a row that the receiver could not be reached or was busy'),
    sa.Column('held_until', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='Nothing is sent until then: it was busy or silent'),
    sa.Column('created_at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('deleted_at', postgresql.TIMESTAMP(timezone=True), nullable=True),
    sa.CheckConstraint("kind in ('email', 'webhook', 'ntfy', 'apprise')", name=op.f('ck_notification_channels_kind')),
    sa.CheckConstraint("least_severity in ('info', 'warning', 'critical')", name=op.f('ck_notification_channels_least_severity')),
    sa.CheckConstraint('(deleted_at is null) = (sealed_address is not null)', name=op.f('ck_notification_channels_address')),
    sa.CheckConstraint('(disabled_at is null) = (disabled_why is null)', name=op.f('ck_notification_channels_disabled')),
    sa.ForeignKeyConstraint(['user_key'], ['app.users.user_key'], name=op.f('fk_notification_channels_user_key_users')),
    sa.PrimaryKeyConstraint('channel_id', name=op.f('pk_notification_channels')),
    schema='app',
    comment='Where messages are sent to; a deleted channel stays without its address and secrets'
    )
    op.create_index('ix_notification_channels_user', 'notification_channels', ['user_key'], unique=False, schema='app', postgresql_where=sa.text('deleted_at is null'))
    op.create_table('outbox_messages',
    sa.Column('message_id', sa.BigInteger(), sa.Identity(always=False), nullable=False, comment='Ascending in the order in which they were committed'),
    sa.Column('key', sa.Text(), nullable=False, comment='Deduplication key: what it is about and when'),
    sa.Column('user_key', sa.Integer(), nullable=True, comment='Who is told; null for the operators of the installation'),
    sa.Column('subject', sa.Text(), nullable=False, comment='What it is about; the order of a subject is kept in each channel'),
    sa.Column('kind', sa.Text(), nullable=False, comment='alert, alert.resolved, alert.cannot_tell, export, operations, …'),
    sa.Column('severity', sa.Text(), nullable=False, comment='info, warning or critical'),
    sa.Column('title', sa.Text(), nullable=False, comment='One line of plain text'),
    sa.Column('text', sa.Text(), nullable=False, comment='Plain text'),
    sa.Column('data', postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment='The same for machines'),
    sa.Column('attachments', postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment='name, media_type and path of files'),
    sa.Column('created_at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.CheckConstraint("severity in ('info', 'warning', 'critical')", name=op.f('ck_outbox_messages_severity')),
    sa.ForeignKeyConstraint(['user_key'], ['app.users.user_key'], name=op.f('fk_outbox_messages_user_key_users')),
    sa.PrimaryKeyConstraint('message_id', name=op.f('pk_outbox_messages')),
    sa.UniqueConstraint('key', name=op.f('uq_outbox_messages_key')),
    schema='app',
    comment='Messages that the platform owes to people; one for each key, for ever'
    )
    op.create_index('ix_outbox_messages_user', 'outbox_messages', ['user_key', 'message_id'], unique=False, schema='app')
    op.create_table('outbox_deliveries',
    sa.Column('delivery_id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('message_id', sa.BigInteger(), nullable=False),
    sa.Column('channel_id', sa.Integer(), nullable=False),
    sa.Column('subject', sa.Text(), nullable=False, comment='That of the message; later ones wait for earlier ones'),
    sa.Column('status', sa.Text(), nullable=False, comment='pending, sending, delivered, dead: given up after all attempts, abandoned: the channel is gone'),
    sa.Column('attempts', sa.Integer(), nullable=False, comment='Attempts that failed or succeeded'),
    sa.Column('claims', sa.Integer(), nullable=False, comment='Times a dispatcher took it; also says whose result still counts'),
    sa.Column('due_at', postgresql.TIMESTAMP(timezone=True), nullable=False, comment='Next attempt; while sending, when the dispatcher counts as dead'),
    sa.Column('queued_at', postgresql.TIMESTAMP(timezone=True), nullable=False, comment='Since when it is tried; given up some days later'),
    sa.Column('last_error', sa.Text(), nullable=True, comment='Why the last attempt failed'),
    sa.Column('delivered_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When the receiver accepted it'),
    sa.CheckConstraint("(status = 'delivered') = (delivered_at is not null)", name=op.f('ck_outbox_deliveries_delivered')),
    sa.CheckConstraint("status in ('pending', 'sending', 'delivered', 'dead', 'abandoned')", name=op.f('ck_outbox_deliveries_status')),
    sa.ForeignKeyConstraint(['channel_id'], ['app.notification_channels.channel_id'], name=op.f('fk_outbox_deliveries_channel_id_notification_channels')),
    sa.ForeignKeyConstraint(['message_id'], ['app.outbox_messages.message_id'], name=op.f('fk_outbox_deliveries_message_id_outbox_messages')),
    sa.PrimaryKeyConstraint('delivery_id', name=op.f('pk_outbox_deliveries')),
    sa.UniqueConstraint('message_id', 'channel_id', name=op.f('uq_outbox_deliveries_message_id_channel_id')),
    schema='app',
    comment='Each message on its way to each channel; nothing leaves this table'
    )
    op.create_index('ix_outbox_deliveries_dead', 'outbox_deliveries', ['delivery_id'], unique=False, schema='app', postgresql_where=sa.text("status = 'dead'"))
    op.create_index('ix_outbox_deliveries_due', 'outbox_deliveries', ['due_at'], unique=False, schema='app', postgresql_where=sa.text("status in ('pending', 'sending')"))
    op.create_index('ix_outbox_deliveries_order', 'outbox_deliveries', ['channel_id', 'subject', 'message_id'], unique=False, schema='app', postgresql_where=sa.text("status in ('pending', 'sending')"))

def downgrade() -> None:
    for table in ('outbox_deliveries', 'outbox_messages', 'notification_channels'):
        op.drop_table(table, schema='app')
