"""Tests of pages with a real application: reservations, faults, events with the feed and histories, and the search."""
