"""The outbox: entries that the scripts wrote in Redis, published to RabbitMQ and deleted once confirmed."""
