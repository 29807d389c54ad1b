"""The world: the database, and the services behind the gateway."""
