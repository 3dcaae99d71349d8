"""The speed of xenstore daemons on the same requests: ours, the real ones, and none at all."""
