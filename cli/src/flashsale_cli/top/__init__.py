"""Live numbers of sales and pipeline, read from the services themselves; Prometheus is not needed."""
