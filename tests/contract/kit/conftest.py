"""The databases that the suites in this folder run on."""

from tests.support.databases import database_url

__all__ = ["database_url"]
