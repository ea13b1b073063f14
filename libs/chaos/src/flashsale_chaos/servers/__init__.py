"""Injects the faults of servers: deaths, losses, promotions, disks and clocks."""

from flashsale_chaos.inject import INJECTORS
from flashsale_chaos.servers import disturbances, outages, promotions
from flashsale_chaos.servers.turns import in_turn

INJECTORS.update(
    {
        "server.kill": outages.kill,
        "redis.lost_disk": in_turn(outages.lose_disk),
        "redis.old_volume": in_turn(outages.bring_old_volume),
        "redis.stale_promotion": in_turn(promotions.promote_stale),
        "redis.split_brain": promotions.split_brain,
        "node.lost": outages.lose_node,
        "redis.slow_fsync": disturbances.slow_fsync,
        "redis.full_disk": disturbances.fill_disk,
        "clock.jump": disturbances.jump,
    }
)
