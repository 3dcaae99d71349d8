"""Byte layouts of our own formats, each naming its source and asserting its size."""
