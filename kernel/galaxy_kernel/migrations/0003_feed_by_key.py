"""The changes of one key of the feed, for erasing them."""

from alembic import op

revision = "kernel_0003"
down_revision = "kernel_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("feed_changes_topic_key_idx", "feed_changes", ["topic", "key"])
