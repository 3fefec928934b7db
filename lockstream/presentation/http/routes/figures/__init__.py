"""Figures of the whole: `network` has the totals of the network and its activity, `system` the running system.

May import what `routes` may import.
"""
