"""How a file comes to name this process."""

import os
import stat


def write_process_id(fd: int) -> None:
    """Let the open file name this process and nothing else. Raises: OSError, with the file as it
    was."""
    line = f"{os.getpid()}\n".encode("ascii")
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.write(fd, line)
        return
    # Not emptied before: on a full disk it would stay empty.
    os.pwrite(fd, line, 0)
    os.ftruncate(fd, len(line))
