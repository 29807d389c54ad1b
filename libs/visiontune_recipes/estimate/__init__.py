"""What a job will need, from a model's config and a version's statistics; see docs/estimates.md."""
