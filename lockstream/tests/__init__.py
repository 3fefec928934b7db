"""The tests. Their vocabulary is in `given.py`."""
