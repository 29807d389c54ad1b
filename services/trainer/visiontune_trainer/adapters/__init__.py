"""Implementations of `ports`; only `app` names them."""
