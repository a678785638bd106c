"""Traces of decisions: recorded by the daemon, replayed by `edged replay`."""
