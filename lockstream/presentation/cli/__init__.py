"""The command line: `lockstream COMMAND`.

`main` turns errors into exit codes, `serve` starts the server, `log_commands` are the commands about a log. `options`
makes an option of every setting, `usage` explains errors in the command line itself, and `output` prints lines and
progress bars. Modules that only some commands need are imported when such a command runs.
"""
