"""Events: when they start and end, and their delivery to the sinks."""
