"""The crowd: buyers, impostors, a payment provider and a merchant, who repeat every request until its answer is final."""

from flashsale_chaos.crowd.crowd import Crowd

__all__ = ["Crowd"]
