"""What a user can ask, a module a noun."""
