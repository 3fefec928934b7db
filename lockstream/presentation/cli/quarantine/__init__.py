"""The commands that show and change the quarantine of a running server, over HTTP: `lockstream quarantine COMMAND`.

Start at `commands`. `client` sends the requests, and turns everything that can go wrong into one sentence; `answers`
are the bodies of the responses. May import what the command line may.
"""
