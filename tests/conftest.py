"""Fixtures that every test folder may take: real servers, one a session; environments."""

from tests.support.proxies import dead_proxy
from tests.support.s3 import s3

__all__ = ["dead_proxy", "s3"]
