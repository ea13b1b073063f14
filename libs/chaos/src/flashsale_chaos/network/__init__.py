"""Links between services and servers that are delayed, held, cut and reset."""

from flashsale_chaos.network.modes import BY_KIND, Mode
from flashsale_chaos.network.proxy import Link

__all__ = ["BY_KIND", "Link", "Mode"]
