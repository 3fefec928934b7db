"""Services: the live system, one-off work on a log, and the choice of engine.

Start at `deployment`, which chooses the engine by the settings. `database_deployment` has the deployments in
PostgreSQL. `running` is the live system, and `commands` are one-off work on a log. May import `infrastructure`, `core`
and `settings`.
"""
