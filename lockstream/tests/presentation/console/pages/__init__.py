"""Tests of pages with a real application: lockers, reservations, faults, events with the feed, and the search."""
