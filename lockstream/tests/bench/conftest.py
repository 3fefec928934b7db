import select

collect_ignore_glob = [] if hasattr(select, "epoll") else ["*"]
"""The load generator stands on epoll: elsewhere than on Linux there is nothing to test."""
