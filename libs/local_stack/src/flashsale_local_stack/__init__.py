"""The local stack: private Redis, RabbitMQ and Postgres, and the services, under one home folder.

Used by `flashsale stack`, by `flashsale demo` and by the tests. It starts nothing of the system's and ends only what it started.
"""

from flashsale_local_stack.errors import StackError
from flashsale_local_stack.stack import INFRASTRUCTURE, SERVICES, Stack

__all__ = ["INFRASTRUCTURE", "SERVICES", "Stack", "StackError"]
