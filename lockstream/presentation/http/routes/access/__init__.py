"""The operations of API keys, in `keys`, and of the audit log, in `audit`. Both need the scope `admin`.

May import `shared`, and everything that the other routes may import.
"""
