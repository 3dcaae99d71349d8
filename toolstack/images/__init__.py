"""Kernels, an initrd and other bootable files, from Debian packages, kept outside the tree."""

from toolstack.images.build import Image, build, ensure
from toolstack.images.cache import cache_directory, locate
from toolstack.images.catalogue import IMAGE_NAMES

__all__ = ["IMAGE_NAMES", "Image", "build", "cache_directory", "ensure", "locate"]
