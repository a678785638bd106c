"""What only a Jetson can prove; see README.md here."""
