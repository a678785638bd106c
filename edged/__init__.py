"""edged: camera frames become MobileNet results inside a latency budget."""

__version__ = "0.2.0"
