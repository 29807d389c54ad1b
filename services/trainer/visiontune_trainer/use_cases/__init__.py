"""What users and workers can ask, one module a noun."""
