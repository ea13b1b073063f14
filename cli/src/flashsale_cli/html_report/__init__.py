"""The report of a run as one HTML file: readable from disk, without a network and without a script."""
