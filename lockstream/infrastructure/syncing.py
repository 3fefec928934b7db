"""Flushing a file to the disk: here, or in a process that this file is the program of.

It imports nothing but what starts in no time.
"""

import fcntl
import os
import sys


def sync_data(file: int) -> None:
    """Flush a file's bytes and its length to the disk; on macOS, whose fsync stops short of it, through the drive."""
    if sys.platform == "darwin":
        fcntl.fcntl(file, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(file)


def serve(file: int, requests: int) -> None:
    """Flush `file` for each byte that comes in, and answer one: 0, or the number of the error. End with `requests`."""
    while os.read(requests, 1):
        answer = 0
        try:
            sync_data(file)
        except OSError as error:
            answer = error.errno or 255
        os.write(requests, bytes([answer]))


if __name__ == "__main__":
    serve(int(sys.argv[1]), requests=0)
