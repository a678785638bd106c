"""The state of the daemon in JSON and in words, for the page, `edged status` and programs."""
