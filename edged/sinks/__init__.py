"""Where results and events go: sink.py has the protocol, options.py the table of kinds."""
