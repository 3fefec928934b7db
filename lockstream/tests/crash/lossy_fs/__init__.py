"""The lossy disk: a file system that forgets unflushed writes at a power cut. Needs Linux and the right to mount.

Start at `mount`, which tests use. `disk` holds the files and decides which of their bytes survive a power cut.
`server` answers the kernel's requests in a process of its own, and `fuse` encodes the messages.
"""
