"""Where workers run: one module a backend, one line in `backend.BACKENDS`."""
