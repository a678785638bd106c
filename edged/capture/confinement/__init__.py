"""What a capture child may reach: Landlock, a system-call filter, and each source's needs."""
