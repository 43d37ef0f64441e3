"""What the daemon sends as the log of a container: frames, of a header of eight bytes and a piece of output."""

import asyncio
import struct

import aiohttp

MOST = 2 * 1024 * 1024
"""Bytes after which to stop, as much as the daemon keeps: an engine may write faster than the daemon reads."""
_HEADER = struct.Struct(">BxxxL")


async def read_frames(stream: aiohttp.StreamReader, tail: int) -> bytes:
    """Return the last `tail` bytes of output, keeping no more than that in memory."""
    kept = bytearray()
    seen = 0
    while seen < MOST:
        try:
            header = await stream.readexactly(_HEADER.size)
        except asyncio.IncompleteReadError:
            return bytes(kept)
        left = _HEADER.unpack(header)[1]
        while left:
            piece = await stream.read(min(left, 65536))
            if not piece:
                return bytes(kept)
            left -= len(piece)
            seen += len(piece)
            kept += piece
            del kept[:-tail]
    return bytes(kept)
