"""One connection through the wire, from its first byte to its last."""

import asyncio
import ssl
from asyncio.trsock import TransportSocket
from collections.abc import Callable, Coroutine
from typing import Protocol

from neonkit.local._conversation import Conversation
from neonkit.local._listening_address import ListeningAddress
from neonkit.local._neon_login import login_error_as_neon, startup_as_neon
from neonkit.local._network_faults import Line, NetworkFaults, Refusal, When, words_of
from neonkit.local._protocol_messages import (
    CANCEL_REQUEST,
    GSS_REQUEST,
    SSL_REQUEST,
    Framing,
    FramingError,
    Piece,
    startup_code,
    startup_size,
    without_channel_binding,
)
from neonkit.local._round_trips import Trip
from neonkit.local._tls_request import Streams, open_tls

_CHUNK_BYTES = 64 * 1024
_ENDINGS = (OSError, EOFError, FramingError)  # as connections end: nothing of ours is wrong
_TURNS = 2  # of the event loop, from a readable socket to what it says being noted


class TrafficObserver(Protocol):
    """The wire that a session belongs to, which counts."""

    def note_trip(self, trip: Trip) -> None:
        """Count a round trip."""

    def note_connecting(self) -> None:
        """Count a round trip of the opening of a connection."""

    def note_use(self) -> None:
        """Note that something passes."""


class _OverError(Exception):
    """One side is done, and so is the session."""


class ProxiedSession:
    """Passes one connection on, notes what is said, and does to it what the faults say.

    Args:
        number: from 1, in the order of arrival.
        client: the accepted connection.
        entrance: the port where it came in.
    """

    def __init__(self, number: int, client: Streams, entrance: ListeningAddress) -> None:
        self._number = number
        self._client, self._to_client = client
        self._entrance = entrance
        self._server: asyncio.StreamReader | None = None
        self._to_server: asyncio.StreamWriter | None = None
        self._cut: When | None = None
        self._is_cut = False
        self._half_reply = b""
        self._is_between_messages = True
        self._is_sending = False
        self._is_ended = False
        self._packet = b""

    @property
    def client_socket(self) -> TransportSocket:
        """The socket that its client is connected to."""
        found: TransportSocket = self._to_client.get_extra_info("socket")
        return found

    @property
    def is_busy(self) -> bool:
        """In use: a statement runs or a transaction is open."""
        return self._server is not None and self._conversation.is_busy

    async def run(self, faults: NetworkFaults, observer: TrafficObserver) -> None:
        """Serve the connection until one side ends it."""
        self._faults = faults
        self._observer = observer
        self._conversation = Conversation(
            self._number, observer.note_trip, observer.note_connecting
        )
        try:
            packet = await self._greet()
            if packet is not None:
                await self._login(packet)
        except _ENDINGS:
            pass
        finally:
            await self._close()

    def end(self, parting: bytes) -> None:
        """Say these words, unless they would tear a message or a pooler has no time for them."""
        is_told = self._server is not None and not self._entrance.is_pooled
        if is_told and self._is_between_messages and not self._is_sending:
            self._to_client.write(parting)
        self._is_ended = True

    async def _greet(self) -> bytes | None:
        """Answer what comes before the start-up packet, and give that; `None` if none comes."""
        await self._take_trip()  # the client's TCP connect, which nobody but the kernel sees
        while True:
            head = await self._client.readexactly(4)
            packet = head + await self._client.readexactly(startup_size(head))
            code = startup_code(packet)
            if code == CANCEL_REQUEST:
                await self._pass_cancel(packet)
                return None
            await self._take_trip()
            if code == SSL_REQUEST and self._entrance.tls == "pass":
                if await self._pass_tls(packet):
                    return None
            elif code == SSL_REQUEST:
                await self._answer_ssl_request()
            elif code == GSS_REQUEST:
                self._to_client.write(b"N")
            else:
                return packet

    async def _take_trip(self) -> None:
        self._observer.note_connecting()
        await asyncio.sleep(self._faults.delay)
        await self._faults.calm.wait()

    async def _answer_ssl_request(self) -> None:
        tls = self._entrance.tls
        if not isinstance(tls, ssl.SSLContext):
            self._to_client.write(b"N")
            return
        self._to_client.write(b"S")
        await self._to_client.drain()
        await self._take_trip()
        await self._to_client.start_tls(tls)

    async def _pass_tls(self, packet: bytes) -> bool:
        """Let the server answer; if it has TLS, pass everything on unread until the end."""
        if await self._faults.admit() is not None:
            raise EOFError  # words would be refused here, where only one byte is expected
        target = self._entrance.target
        server, to_server = await asyncio.open_connection(target.host, target.port)
        to_server.write(packet)
        answer = await server.readexactly(1)
        self._to_client.write(answer)
        if answer != b"S":
            to_server.close()
            return False
        self._to_server = to_server
        await self._relay(
            _hear(self._client, upward := Line(self._faults), self._observer.note_use),
            _tell(upward, to_server),
            _hear(server, downward := Line(self._faults), self._observer.note_use),
            _tell(downward, self._to_client),
        )
        return True

    async def _pass_cancel(self, packet: bytes) -> None:
        server, to_server = await self._connect()
        self._to_server = to_server
        to_server.write(packet)
        await to_server.drain()
        await server.read()  # the server closes when it has done it

    async def _connect(self) -> Streams:
        target = self._entrance.target
        context = target.for_asyncpg()["ssl"]
        if not isinstance(context, ssl.SSLContext):
            return await asyncio.open_connection(target.host, target.port)
        streams = await open_tls(target, context)
        if streams is None:
            raise ConnectionError("the server has no TLS")
        return streams

    async def _login(self, packet: bytes) -> None:
        refusal = self._refusal_of_neon() or await self._faults.admit()
        if refusal is None:
            try:
                self._server, self._to_server = await self._connect()
            except OSError:
                refusal = words_of(Refusal.UNREACHABLE)
        if refusal is not None or self._server is None or self._to_server is None:
            self._to_client.write(refusal or b"")
            return
        upward, downward = Line(self._faults), Line(self._faults)
        self._packet = packet
        self._to_server.write(startup_as_neon(packet) if self._entrance.is_neon else packet)
        await self._relay(
            self._hear_client(upward),
            _tell(upward, self._to_server),
            _hear(self._server, downward, self._observer.note_use),
            self._tell_client(downward),
        )

    def _refusal_of_neon(self) -> bytes | None:
        has_tls = isinstance(self._entrance.tls, ssl.SSLContext)
        is_encrypted = self._to_client.get_extra_info("ssl_object") is not None
        is_refused = self._entrance.is_neon and has_tls and not is_encrypted
        return words_of(Refusal.INSECURE) if is_refused else None

    async def _relay(self, *ways: Coroutine[object, object, None]) -> None:
        """Let both directions run, until one of them ends."""
        try:
            async with asyncio.TaskGroup() as group:
                for way in ways:
                    group.create_task(way)
        except* (_OverError, *_ENDINGS):
            pass

    async def _hear_client(self, line: Line) -> None:
        framing = Framing()
        while data := await _read(self._client):
            passed = bytearray()
            for piece in framing.feed(data):
                if self._is_torn_before(piece):
                    self._is_cut = True
                    await line.put(bytes(passed))
                    await line.put(None)
                    return
                passed += piece.raw
            if passed:
                await line.put(bytes(passed))
        await line.put(None)

    def _is_torn_before(self, piece: Piece) -> bool:
        if piece.message is None:
            return False
        moment = self._conversation.ask(piece.message)
        when = self._faults.take_cut(moment)
        if when in {"after", "during"}:
            self._cut = when
            self._conversation.mark()
        return when == "before"

    async def _tell_client(self, line: Line) -> None:
        framing = Framing()
        while (data := await line.get()) is not None:
            # what the client sent by now, it sent without waiting for this answer
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            passed = bytearray()
            for piece in framing.feed(data):
                passed += self._passed(piece)
                if self._is_cut:
                    break
            if self._is_ended:  # nothing follows a parting
                break
            self._is_sending = True
            await line.send(self._to_client, bytes(passed))
            self._is_sending = False
            if self._is_cut:
                break
        raise _OverError

    def _passed(self, piece: Piece) -> bytes:
        """Choose the bytes of it that the client gets."""
        self._is_between_messages = piece.is_end
        is_login = self._entrance.is_neon and not self._conversation.is_logged_in
        if is_login and piece.message is not None and piece.message.kind == b"E":
            return login_error_as_neon(piece.message.body, self._packet)
        is_done = piece.message is not None and self._conversation.answer(piece.message)
        if self._cut is None:
            return without_channel_binding(piece.raw)
        if is_done:
            self._is_cut = True
            half = piece.raw[: len(piece.raw) // 2]
            return b"" if self._cut == "after" else self._half_reply or half
        if self._cut == "after" or self._half_reply:
            return b""
        if piece.message is not None and piece.message.kind == b"C":
            # not before the server is done, at which time it has committed
            self._half_reply = piece.raw[: len(piece.raw) // 2]
            return b""
        return piece.raw

    async def _close(self) -> None:
        writers = [self._to_client, *([self._to_server] if self._to_server else [])]
        for writer in writers:
            if self._is_cut and writer is not self._to_client:
                writer.transport.abort()
            else:
                writer.close()
        for writer in writers:
            try:
                async with asyncio.timeout(1.0):
                    await writer.wait_closed()
            except _ENDINGS:
                writer.transport.abort()


async def _hear(reader: asyncio.StreamReader, line: Line, note: Callable[[], None]) -> None:
    while data := await _read(reader):
        note()
        await line.put(data)
    await line.put(None)


async def _tell(line: Line, writer: asyncio.StreamWriter) -> None:
    while (data := await line.get()) is not None:
        await line.send(writer, data)
    raise _OverError


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(_CHUNK_BYTES)
    except OSError:
        return b""
