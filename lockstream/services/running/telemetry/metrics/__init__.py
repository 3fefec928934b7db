"""Metrics: the figures and counts of the system as families of Prometheus, built at the scrape.

Start at `collector`, which reads all parts of the system and leaves out parts that fail. Each other module builds the
families of one subject with the constructors in `forms`: `events`, `requests`, `storage` (positions, disk and engine),
`readers` (the feed, the quarantine and the keys) and `network`. docs/metrics.md lists all families.
"""
