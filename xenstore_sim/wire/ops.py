"""Numbers of the operations and names of the errors on the wire.

Source: xen/include/public/io/xs_wire.h (xsd_sockmsg_type, xsd_errors).
"""

from enum import IntEnum, StrEnum


class Op(IntEnum):
    """The type field of a message; 20 is a hole, it was RESTRICT."""

    CONTROL = 0
    DIRECTORY = 1
    READ = 2
    GET_PERMS = 3
    WATCH = 4
    UNWATCH = 5
    TRANSACTION_START = 6
    TRANSACTION_END = 7
    INTRODUCE = 8
    RELEASE = 9
    GET_DOMAIN_PATH = 10
    WRITE = 11
    MKDIR = 12
    RM = 13
    SET_PERMS = 14
    WATCH_EVENT = 15
    ERROR = 16
    IS_DOMAIN_INTRODUCED = 17
    RESUME = 18
    SET_TARGET = 19
    RESET_WATCHES = 21
    DIRECTORY_PART = 22
    GET_FEATURE = 23
    SET_FEATURE = 24
    GET_QUOTA = 25
    SET_QUOTA = 26


class Errno(StrEnum):
    """The only errors an ERROR message can name; clients take any other for EINVAL."""

    EINVAL = "EINVAL"
    EACCES = "EACCES"
    EEXIST = "EEXIST"
    EISDIR = "EISDIR"
    ENOENT = "ENOENT"
    ENOMEM = "ENOMEM"
    ENOSPC = "ENOSPC"
    EIO = "EIO"
    ENOTEMPTY = "ENOTEMPTY"
    ENOSYS = "ENOSYS"
    EROFS = "EROFS"
    EBUSY = "EBUSY"
    EAGAIN = "EAGAIN"
    EISCONN = "EISCONN"
    E2BIG = "E2BIG"
    EPERM = "EPERM"
