"""Fixtures that every test folder may take: real servers, one a session."""

from tests.support.s3 import s3

__all__ = ["s3"]
