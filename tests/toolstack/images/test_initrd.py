from __future__ import annotations

import gzip
import subprocess

from toolstack.images import initrd

BUSYBOX = b"not really busybox"


def contents(image: bytes, name: str) -> bytes:
    return subprocess.run(
        ("cpio", "--quiet", "--extract", "--to-stdout", name),
        input=gzip.decompress(image),
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    ).stdout


def test_it_holds_busybox_and_an_init_for_it() -> None:
    image = initrd.build(BUSYBOX)
    assert contents(image, "bin/busybox") == BUSYBOX
    assert contents(image, "init").startswith(b"#!/bin/busybox sh\n")
    assert contents(image, "payload") == b""


def test_payload_is_in_it_byte_for_byte() -> None:
    payload = bytes(range(256)) * 5
    assert contents(initrd.build(BUSYBOX, payload), "payload") == payload


def test_same_arguments_give_the_same_bytes() -> None:
    assert initrd.build(BUSYBOX, b"x") == initrd.build(BUSYBOX, b"x")


def test_init_is_a_valid_script() -> None:
    subprocess.run(("sh", "-n"), input=initrd.INIT.encode(), check=True, timeout=60)
