"""`edged doctor`: checks of the device, the installation and the configuration."""
