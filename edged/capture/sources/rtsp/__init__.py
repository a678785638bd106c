"""RTSP cameras: the stream, and the reasons of a refusal."""
