"""V4L2 cameras: driver, controls and discovery."""
