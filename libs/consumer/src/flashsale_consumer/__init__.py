"""Consuming from RabbitMQ in batches: gather, work, acknowledge, park what is poison."""

from flashsale_consumer.consumer import Consumer, ConsumerSettings
from flashsale_consumer.deliveries import Delivery, Handle, Poison, Publication, once_each
from flashsale_consumer.parked_depth import Watch, watch_parked

__all__ = ["Consumer", "ConsumerSettings", "Delivery", "Handle", "Poison", "Publication", "Watch", "once_each", "watch_parked"]
