"""How events and state are kept."""
