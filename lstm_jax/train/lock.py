"""One process at a time in the folder of a run."""

import contextlib
import errno
import os
from collections.abc import Generator
from pathlib import Path

from lstm_jax.stops import cleaning

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None

LOCK = ".lock"
# What a file system says that has no locks.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


@contextlib.contextmanager
def locked(folder: Path) -> Generator[None]:
    """Keeps other processes out of a folder, which is made if it is not there.

    The lock is the system's (`flock`), on a file in the folder: it ends with the process, however
    that ends. At the end the file is deleted, and so are the folders made here that are empty.

    Args:
        folder: any folder.

    Raises:
        ValueError: if another process has it.
        OSError: if it cannot be made or written to.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    descriptor = _acquire(folder)

    def give_back() -> None:
        # Before the lock is given back: another process that opens the file later makes its own.
        with contextlib.suppress(OSError):
            (folder / LOCK).unlink(missing_ok=True)
        os.close(descriptor)
        with contextlib.suppress(OSError):  # not empty
            for path in made:
                path.rmdir()

    try:
        with cleaning(give_back):
            yield
    finally:
        give_back()


def _acquire(folder: Path) -> int:
    """Opens and locks the file; a process that ended meanwhile may have deleted file or folder."""
    path = folder / LOCK
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                _lock(descriptor, folder)
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, f"{os.getpid()}\n".encode())
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        number = os.read(descriptor, 20).decode(errors="replace").strip()
        process = f"process {number}" if number else "another process"
        raise ValueError(f"run folder {folder} is in use by {process}") from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
