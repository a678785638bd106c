"""edged as a systemd service: installation, notification, journal, status line."""
