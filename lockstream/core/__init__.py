"""The domain: plain values and functions, free of any framework."""
