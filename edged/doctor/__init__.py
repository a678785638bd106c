"""`edged doctor`: finds what keeps edged from working well on a device."""
