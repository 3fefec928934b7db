"""Tests of the stores of API keys and audit entries: files, their damage, and a database."""
