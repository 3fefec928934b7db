"""The documentation and the house, held to the code."""
