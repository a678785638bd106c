"""INT8 counterparts of float networks."""
