"""Who is wired to whom, and for how long."""
