"""The command `status`: the state of a running server on a terminal.

Start at `commands`. `client` asks the server for `GET /system`, `answers` has the parts of the response that are shown,
and `rates` the pace between two responses. `view` makes the lines, and `live` shows them until Ctrl-C. May import what
the other commands may import.
"""
