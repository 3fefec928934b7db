"""The command line: `lockstream COMMAND`.

`main` turns errors into exit codes, `serve` starts the server, `log_commands` are the commands about a log. `options`
makes an option of every setting, and `output` prints lines and progress bars.
"""
