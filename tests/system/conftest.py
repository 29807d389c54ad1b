"""The stack that system tests share."""

from tests.support.stack import stack

__all__ = ["stack"]
