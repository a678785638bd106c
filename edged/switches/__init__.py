"""What people switch while the daemon runs: views and event rules."""
