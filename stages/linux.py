"""Linux calls that the standard library does not expose.

Those that take an open folder and a name in it follow no symlink. They raise OSError. A C library
without one of them answers ENOSYS, as an old kernel does.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

_libc = ctypes.CDLL(None, use_errno=True)

_RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2
_AT_SYMLINK_NOFOLLOW, _AT_EMPTY_PATH = 0x100, 0x1000
_STATX_BASIC, _STATX_BTIME, _STATX_MNT_ID = 0x7FF, 0x800, 0x1000
_STATX_BYTES = _STATFS_BYTES = 256  # more than either needs
_MAX_HANDLE_BYTES = 128
_SYS_FCHMODAT2 = 452  # the same number on every architecture; no C library wraps it yet


class State(msgspec.Struct, frozen=True):
    """Fields of statx(2)."""

    device: int
    inode: int
    mode: int
    birth: int | None
    """Nanoseconds since 1970; None if the filesystem does not know."""
    mount: int
    """Id of the mount that holds it."""


class _Handle(ctypes.Structure):
    _fields_ = (
        ("bytes", ctypes.c_uint),
        ("type", ctypes.c_int),
        ("value", ctypes.c_ubyte * _MAX_HANDLE_BYTES),
    )


def exchange(folder: int, name: str, other_folder: int, other_name: str) -> None:
    """Exchange two existing names atomically."""
    _rename(folder, name, other_folder, other_name, _RENAME_EXCHANGE)


def rename_noreplace(folder: int, name: str, to_folder: int, to_name: str) -> None:
    """Rename atomically; raise FileExistsError if the new name is taken."""
    _rename(folder, name, to_folder, to_name, _RENAME_NOREPLACE)


def handle_of(folder: int, name: str) -> tuple[int, bytes]:
    """Return type and bytes of the file handle, which contains the inode's generation."""
    handle, mount = _Handle(_MAX_HANDLE_BYTES), ctypes.c_int()
    result = _function("name_to_handle_at")(
        folder, os.fsencode(name), ctypes.byref(handle), ctypes.byref(mount), 0
    )
    _check(result, name)
    return handle.type, bytes(handle.value[: handle.bytes])


def state_of(folder: int, name: str) -> State:
    """Return what statx(2) reports about a file."""
    buffer = ctypes.create_string_buffer(_STATX_BYTES)
    wanted = _STATX_BASIC | _STATX_BTIME | _STATX_MNT_ID
    result = _function("statx")(folder, os.fsencode(name), _AT_SYMLINK_NOFOLLOW, wanted, buffer)
    _check(result, name)
    raw = buffer.raw
    mask = _number(raw, 0, 4)
    birth = None
    if mask & _STATX_BTIME:
        birth = _number(raw, 80, 8) * 10**9 + _number(raw, 88, 4)
    known = mask & _STATX_MNT_ID  # since Linux 5.8
    mount = _number(raw, 144, 8) if known else _mount_of(folder, name)
    device = os.makedev(_number(raw, 136, 4), _number(raw, 140, 4))
    return State(device, _number(raw, 32, 8), _number(raw, 28, 2), birth, mount)


def syncfs(fd: int) -> None:
    """Write the filesystem that holds an open file to its disk."""
    _check(_function("syncfs")(fd), None)


def filesystem_type(fd: int) -> int:
    """Return the magic number of the filesystem that holds an open file: statfs(2)."""
    buffer = ctypes.create_string_buffer(_STATFS_BYTES)
    _check(_function("fstatfs")(fd, buffer), None)
    return _number(buffer.raw, 0, ctypes.sizeof(ctypes.c_long)) & 0xFFFFFFFF


def mount_id(fd: int) -> int:
    """Return the id of the mount that an open file is in, as /proc has it."""
    with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file)
    return int(fields["mnt_id"])


def chmod_handle(fd: int, mode: int) -> None:
    """Set the mode of the inode behind any descriptor, including one opened with O_PATH."""
    result = _libc.syscall(_SYS_FCHMODAT2, fd, b"", mode, _AT_EMPTY_PATH)
    # Linux before 6.6 has no such call, and containers of that time refuse unknown ones.
    if result < 0 and ctypes.get_errno() in (errno.ENOSYS, errno.EPERM):
        os.chmod(f"/proc/self/fd/{fd}", mode)
        return
    _check(result, None)


def _rename(folder: int, name: str, to_folder: int, to_name: str, flags: int) -> None:
    result = _function("renameat2")(
        folder, os.fsencode(name), to_folder, os.fsencode(to_name), ctypes.c_uint(flags)
    )
    _check(result, name)


def _mount_of(folder: int, name: str) -> int:
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        return mount_id(fd)
    finally:
        os.close(fd)


def _function(name: str) -> Callable[..., int]:
    try:
        found: Callable[..., int] = getattr(_libc, name)
    except AttributeError:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), name) from None
    return found


def _check(result: int, name: str | None) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)


def _number(raw: bytes, at: int, size: int) -> int:
    return int.from_bytes(raw[at : at + size], sys.byteorder)
