"""Where results and events go: sink.py has the protocol and the table."""
