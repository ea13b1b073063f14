"""Starts, watches and stops Redis, RabbitMQ, Postgres and the services on this machine.

Each stack has a home folder with its data, logs, secrets and settings.
A stack never touches servers or data that it did not create.
"""

from flashsale_local_stack.components import INFRASTRUCTURE, SERVICES
from flashsale_local_stack.env_file import read_env_file
from flashsale_local_stack.errors import StackError
from flashsale_local_stack.processes import descendants, wait_until
from flashsale_local_stack.stack import DEFAULT_HOME, Stack, Status
from flashsale_local_stack.state import free_ports
from flashsale_local_stack.temporary import private_stack, temporary_stack

__all__ = [
    "DEFAULT_HOME",
    "INFRASTRUCTURE",
    "SERVICES",
    "Stack",
    "StackError",
    "Status",
    "descendants",
    "free_ports",
    "private_stack",
    "read_env_file",
    "temporary_stack",
    "wait_until",
]
