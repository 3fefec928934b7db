"""Tests of infrastructure, on real files and a real PostgreSQL."""
