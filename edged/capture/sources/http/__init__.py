"""HTTP cameras: MJPEG streams and snapshots."""
