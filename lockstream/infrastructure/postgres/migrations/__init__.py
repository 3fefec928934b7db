"""The steps that bring the log's tables to the form of this version."""
