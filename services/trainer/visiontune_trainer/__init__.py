"""The trainer: keeps training jobs and their workers. Torch-free."""
