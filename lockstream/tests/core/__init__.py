"""Pure rules: no input, no output."""
