"""What an upload, an object and a quota are, and what may happen to them. No I/O."""
