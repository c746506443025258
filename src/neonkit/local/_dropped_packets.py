"""Packets that the kernel drops before it acknowledges them, on Linux and without privileges."""

import ctypes
import socket
import struct
from asyncio.trsock import TransportSocket

AnySocket = TransportSocket | socket.socket

_ATTACH_FILTER, _DETACH_FILTER = 26, 27  # SO_ATTACH_FILTER, SO_DETACH_FILTER of <asm/socket.h>
_RETURN_NOTHING = struct.pack("HBBI", 0x06, 0, 0, 0)  # BPF_RET | BPF_K: keep no byte of a packet


def drop_arrivals(open_socket: AnySocket) -> None:
    """Drop all that comes for a socket, acknowledgements included."""
    program = ctypes.create_string_buffer(_RETURN_NOTHING)
    filter_ = struct.pack("HP", 1, ctypes.addressof(program))
    open_socket.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, filter_)


def let_arrive(open_socket: AnySocket) -> None:
    """Drop nothing more."""
    open_socket.setsockopt(socket.SOL_SOCKET, _DETACH_FILTER, 0)
