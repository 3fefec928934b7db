"""The command `status`: the state of a running server on a terminal.

Start at `commands`. `client` sends `GET /system` to the server, `answers` has the parts of the response that are shown,
and `rates` the rate of events between two responses. `view` makes the lines, and `live` shows them until Ctrl-C. May
import everything that the other commands may import.
"""
