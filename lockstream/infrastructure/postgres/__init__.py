"""The store of many nodes: log and projection in PostgreSQL, in one transaction."""
