"""A sale and the pipeline as they are now, read from the services themselves: no Prometheus."""
