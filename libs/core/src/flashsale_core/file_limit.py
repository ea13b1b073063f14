"""How many connections a process may accept, by its limit of open files: each connection needs a file descriptor."""

import logging
import resource

log = logging.getLogger(__name__)


def fit_to_file_limit(connections_max: int, reserved: int, variable: str) -> int:
    """`connections_max`, or the number of connections that the limit of open files allows besides `reserved` files, at least 1.

    Raises the process's own limit as far as needed and permitted. `variable` is the setting that the log names.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections_max + reserved
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    if limit == wanted:
        return connections_max
    possible = max(1, limit - reserved)
    reason = f"{variable} is {connections_max}, but at most {hard} files may be open: raise that limit or lower the setting"
    log.warning("connections.limited", extra={"connections_max": possible, "reason": reason})
    return possible
