"""The API, through the real application and real files."""
