"""Counts: plain numbers that storage adds to, and that a scrape reads.

`histogram` counts observations in fixed buckets. Imports nothing of this package.
"""
