"""Decodes H.264 and H.265 with the device's hardware, in a GStreamer child process."""
