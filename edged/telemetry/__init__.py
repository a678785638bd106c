"""Counts, histograms and their Prometheus exposition."""
