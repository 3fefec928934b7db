"""Services: the live system (`running`), one-off work on a log (`commands`), and the choice of engine (`deployment`).

May import `infrastructure`, `core` and `settings`.
"""
