"""The command line: `lockstream COMMAND`.

Start at `main`, which turns errors into exit codes. `serve` starts the server, and `log_commands` are the commands that
work on a log. `list_commands` list its present state and its events. `feed_commands` has the command `follow`, and the
module `follow` prints the events of a running server as they come. The folder `quarantine` has the commands that show
and change the quarantine of a running server, `access` the commands for API keys and the audit log, and `status` the
command that shows the state of a server. `simulation_commands` simulate a network: `simulate` writes or posts its
events, and `demo` shows them live on a server of its own. `options` makes an option of every setting, `usage` explains
errors in the command line itself, and `output` prints lines and progress bars. A module that only some commands need is
imported when such a command runs. May import `http`, `server`, `services`, `simulator`, `core` and `settings`.
"""
