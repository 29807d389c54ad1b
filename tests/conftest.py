"""Fixtures that every test folder may take: real servers, one a session; environments; and what clears up."""

from tests.support.databases import databases_go, shared_server_ends
from tests.support.proxies import dead_proxy
from tests.support.s3 import rclone, s3

__all__ = ["databases_go", "dead_proxy", "rclone", "s3", "shared_server_ends"]
