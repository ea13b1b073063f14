"""What only some machines allow: a clock that jumps, a small disk, a slow one."""

from flashsale_chaos.machine.impossible import ImpossibleError
from flashsale_chaos.machine.machine import Machine, prepare, redis_data
from flashsale_chaos.machine.slow_fsync import slowed
from flashsale_chaos.machine.small_disk import unmount

__all__ = ["ImpossibleError", "Machine", "prepare", "redis_data", "slowed", "unmount"]
