"""Services: the live system (`running`), one-off work on a log (`commands`), and the choice of engine (`deployment`).

`database_deployment` is the half of `deployment` that needs PostgreSQL. May import `infrastructure`, `core` and
`settings`.
"""
