"""Which variant runs on a frame: the measured profile, the slow-down estimate, the choice."""
