"""The list of nodes on one database, in a table in which each node notes itself.

Start at `node`, the values, which load no driver. `store` reads and writes the table. May import the other modules of
`postgres`, and `core`.
"""
