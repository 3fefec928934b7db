"""Tests of many nodes on one database: kills, outages, a standby, PgBouncer and a proxy."""
