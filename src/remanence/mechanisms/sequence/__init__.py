"""Layers whose memory is carried along a sequence (extra `torch`)."""
