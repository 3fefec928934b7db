"""The measurements, by what they need set up: one module a group of goals."""
