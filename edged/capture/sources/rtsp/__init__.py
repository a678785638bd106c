"""RTSP cameras: the stream, and what a camera answers when it refuses it."""
