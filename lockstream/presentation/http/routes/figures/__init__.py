"""Figures: `network` has the totals of the network and its activity, and `system` the state of the running system.

May import everything that `routes` may import.
"""
