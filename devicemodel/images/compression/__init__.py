"""Unpacks what kernels are packed with, into a buffer of a size that is known before.

The bound is the caller's and comes before the first byte: nothing here allocates by what a stream
turns out to hold, and none of the decoders needs more than WINDOW_MAX_BYTES beside the output.
"""

from devicemodel.images.compression.formats import Format, format_of, unpack
from devicemodel.images.compression.output import WINDOW_MAX_BYTES, Damaged

__all__ = ["WINDOW_MAX_BYTES", "Damaged", "Format", "format_of", "unpack"]
