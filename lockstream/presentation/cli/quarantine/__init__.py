"""The commands that show and change the quarantine of a running server, over HTTP: `lockstream quarantine COMMAND`.

Start at `commands`. `client` sends the requests, and turns each failure into one error text; `answers` has the classes
of response bodies. May import everything that the command line may import.
"""
