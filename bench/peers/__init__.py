"""What Lockstream is held against, each a process of its own."""
