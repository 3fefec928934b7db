"""What the system does with events: take them in, and catch up with them."""
