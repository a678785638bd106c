"""What runs inside the virtual device, as root: plain Python, one printed line a check."""
