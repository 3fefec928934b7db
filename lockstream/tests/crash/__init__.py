"""Real processes, killed and corrupted."""
