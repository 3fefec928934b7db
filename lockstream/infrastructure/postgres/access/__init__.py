"""API keys and the audit log in a database.

Start at `store`, which implements `core.key_store.KeyStore`. May import the other modules of `postgres`, and `core`.
"""
