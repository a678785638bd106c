"""Cameras read by HTTP: MJPEG streams and snapshots."""
