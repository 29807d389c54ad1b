"""The training worker: runs one attempt of one job. The only package that imports torch."""
