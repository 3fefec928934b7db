"""What alembic runs: the steps that are missing, on the connection that it was given, in that one's transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
context.run_migrations()
