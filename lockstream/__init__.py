"""Lockstream: the system of record of a parcel-locker network."""

__version__ = "2.0.0"
