"""The daemon: start, run, reload, stop."""
