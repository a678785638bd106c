"""Local cameras: driver, controls and discovery."""
