"""API keys and the audit log beside a log file, readable for their owner alone.

Start at `store`, which implements `core.key_store.KeyStore`. `key_file` encodes the file of the keys and writes it
atomically, and `audit_file` appends to the audit log. May import `fs` and `core`.
"""
