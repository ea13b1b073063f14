"""The pages, one module for each noun: read what a page shows, and render it."""
