"""`python -m toolstack.images [NAME ...]`: builds the images and says where they are."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from handoff.errors import ImageError
from toolstack.images.build import Image, build
from toolstack.images.cache import cache_directory
from toolstack.images.catalogue import IMAGE_NAMES


def table(images: Sequence[Image]) -> str:
    """One line per image: name, size, version."""
    name_width = max(len(image.name) for image in images)
    size_width = max(len(f"{image.size_bytes:,}") for image in images)
    return "\n".join(
        f"{image.name:{name_width}}  {image.size_bytes:>{size_width},} bytes  {image.version}"
        for image in images
    )


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0, or the one of ImageError."""
    try:
        images = build(arguments or IMAGE_NAMES)
    except ImageError as error:
        print(f"images: {error}", file=sys.stderr)
        return error.exit_code
    print(f"in {cache_directory()}:")
    print(table(images))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
