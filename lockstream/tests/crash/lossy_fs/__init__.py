"""A file system for tests that forgets, at a power cut, what was not flushed. It needs Linux, and leave to mount."""
