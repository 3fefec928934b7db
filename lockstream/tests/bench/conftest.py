import select

collect_ignore_glob = [] if hasattr(select, "epoll") else ["*"]
"""The load generator needs epoll, which only Linux has."""
