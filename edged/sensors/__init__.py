"""What the device measures: temperature, throttling, clocks, memory, power."""
