"""edged as a systemd service: installation, readiness, journal, status line."""
