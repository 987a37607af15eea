"""The Coral Edge TPU target."""
