"""What every store does alike; each test runs on each."""
