"""Events: when one begins and ends, and how sinks are told."""
