"""Tests of the parts of the PostgreSQL store: connections, migrations, batches and shadow tables."""
