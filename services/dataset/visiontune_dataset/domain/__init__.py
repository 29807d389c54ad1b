"""Types and decisions of datasets; pure."""
