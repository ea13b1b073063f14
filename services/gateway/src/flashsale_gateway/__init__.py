"""The gateway: HTTP in, reservation in Redis, relay to RabbitMQ."""
