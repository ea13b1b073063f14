"""Injects the faults of servers: deaths, losses, promotions, disks and clocks."""

from flashsale_chaos.inject import INJECTORS
from flashsale_chaos.servers import disturbances, outages, promotions

INJECTORS.update(
    {
        "server.kill": outages.kill,
        "redis.lost_disk": outages.lose_disk,
        "redis.old_volume": outages.bring_old_volume,
        "redis.stale_promotion": promotions.promote_stale,
        "redis.split_brain": promotions.split_brain,
        "redis.slow_fsync": disturbances.slow_fsync,
        "redis.full_disk": disturbances.fill_disk,
        "clock.jump": disturbances.jump,
    }
)
