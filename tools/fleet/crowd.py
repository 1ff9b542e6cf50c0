# The model of a large fleet: one asyncio client that opens a real session for each module, at the moment at which the module
# would, and says what a real one said. A session that fails is tried again after the pauses of the module's own code.
import asyncio
import heapq
import random
import time
from collections import Counter
from dataclasses import dataclass, field

from tools.fleet.script import Replies

TIMEOUT_S = 15  # server.timeout_s as it comes
_MOST_AT_ONCE = 20_000  # sessions; the next ones wait, and are late
_BLOCK_BYTES = 65536


@dataclass
class Device:
    """A module of the model. `at_ms`: when it comes, from the beginning of what is played; `backoff`: its app.pace.Backoff."""

    imei: str
    at_ms: int
    backoff: object


@dataclass
class Tally:
    """What became of the sessions. Times in s, from the beginning."""

    begun_s: list = field(default_factory=list)
    logins_s: list = field(default_factory=list)
    lengths_s: list = field(default_factory=list)  # of good ones
    late_s: list = field(default_factory=list)  # how much later than planned: the client's own weakness
    failures: Counter = field(default_factory=Counter)
    good: int = 0
    again: int = 0  # tries behind a failure
    waiting: int = 0  # modules that had not come through when the time was up
    most_open: int = 0
    open_per_s: list = field(default_factory=list)  # at the end of each second


class _Failure(Exception):
    """The session ended otherwise than in the recording; the text is the kind of failure."""


class Crowd:
    """`link` as in tools.sim.links: how long each answer takes to reach the module."""

    def __init__(self, server, script, recorded_imei, link, seed):
        self._server = server
        self._script = script
        self._recorded = recorded_imei.encode()
        self._link = link
        self._noise = random.Random(seed)
        self._open = 0
        self.tally = None

    async def play(self, devices, seconds, on_second=lambda second: None):
        """Let them come for so long; sessions that have begun by then are ended in peace. -> Tally"""
        tally = self.tally = Tally()
        queue = [(device.at_ms / 1000, number, device, False) for number, device in enumerate(devices)]
        heapq.heapify(queue)
        tasks, start_s = set(), time.monotonic()
        clock = asyncio.create_task(self._count(start_s, seconds, on_second))
        while (now_s := time.monotonic() - start_s) < seconds:
            while queue and queue[0][0] <= now_s and self._open < _MOST_AT_ONCE:
                due_s, number, device, is_again = heapq.heappop(queue)
                tally.begun_s.append(now_s)
                tally.late_s.append(now_s - due_s)
                tally.again += is_again
                self._open += 1
                tally.most_open = max(tally.most_open, self._open)
                task = asyncio.create_task(self._session(device, start_s, queue, number))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            next_s = queue[0][0] if queue else seconds
            await asyncio.sleep(
                min(max(next_s - now_s, 0.001), 0.05)
            )  # a session that fails may put something in front
        await clock
        while tasks:
            await asyncio.wait(tasks)
        tally.waiting = sum(is_again for _, _, _, is_again in queue)
        return tally

    async def _count(self, start_s, seconds, on_second):
        for second in range(1, seconds + 1):
            await asyncio.sleep(max(0, start_s + second - time.monotonic()))
            self.tally.open_per_s.append(self._open)
            on_second(second)

    async def _session(self, device, start_s, queue, number):
        begun_s = time.monotonic()
        try:
            await _Session(self, device).run(self._script, lambda: self._logged_in(start_s))
            self.tally.good += 1
            self.tally.lengths_s.append(time.monotonic() - begun_s)
        except (_Failure, OSError, TimeoutError, asyncio.TimeoutError) as failure:
            self.tally.failures[_kind_of(failure)] += 1
            due_s = time.monotonic() - start_s + device.backoff.next_ms() / 1000
            heapq.heappush(queue, (due_s, number, device, True))
        finally:
            self._open -= 1

    def _logged_in(self, start_s):
        self.tally.logins_s.append(time.monotonic() - start_s)

    # what a session asks

    def address(self):
        return self._server.host, self._server.port

    def as_device(self, data, device):
        return data.replace(self._recorded, device.imei.encode())

    def pause_s(self):
        return self._noise.uniform(*self._link["rtt_ms"]) / 1000 if self._link else 0

    def air_s(self, size):
        """How long an upload takes on the module's link."""
        return size * 8 / self._link["up_kbit_s"] / 1000 if self._link else 0


def _kind_of(failure):
    if isinstance(failure, _Failure):
        return str(failure)
    if isinstance(failure, ConnectionRefusedError):
        return "refused"
    if isinstance(failure, (TimeoutError, asyncio.TimeoutError)):
        return "timed out"
    if isinstance(failure, ConnectionError):
        return "reset"
    return failure.strerror or type(failure).__name__


class _Session:
    """Does the steps of a script, as script.py describes them."""

    def __init__(self, crowd, device):
        self._crowd = crowd
        self._device = device
        self._replies = Replies()
        self._come = 0  # replies
        self._port = 0
        self._writers = []

    async def run(self, script, on_login):
        try:
            for name, *arguments in script.steps:
                if name == "replies":
                    await self._wait(arguments[0], script.digits, on_login)
                else:
                    await getattr(self, "_" + name)(*arguments)
        finally:
            for writer in self._writers:
                writer.close()

    async def _connect(self):
        self._reader, self._writer = await self._connection(self._crowd.address()[1])
        await self._pause()

    async def _send(self, data):
        self._writer.write(self._crowd.as_device(data, self._device))
        await self._writer.drain()

    async def _wait(self, count, digits, on_login):
        while self._come < count:
            data = await _soon(self._reader.read(_BLOCK_BYTES))
            if not data:
                raise _Failure("closed by the server")
            for code, port in self._replies.feed(data):
                if code[:1] != digits[self._come : self._come + 1]:
                    raise _Failure(f"reply {code.decode()}")
                self._come += 1
                self._port = port or self._port
                if code == b"230":
                    on_login()
        await self._pause()

    async def _open(self):
        self._data_reader, self._data_writer = await self._connection(self._port)
        await self._pause()

    async def _put(self, data):
        await asyncio.sleep(self._crowd.air_s(len(data)))
        self._data_writer.write(data)
        await self._data_writer.drain()
        self._data_writer.close()

    async def _get(self):
        while await _soon(self._data_reader.read(_BLOCK_BYTES)):
            pass
        self._data_writer.close()

    async def _connection(self, port):
        reader, writer = await _soon(asyncio.open_connection(self._crowd.address()[0], port))
        self._writers.append(writer)
        return reader, writer

    async def _pause(self):
        pause_s = self._crowd.pause_s()
        if pause_s:
            await asyncio.sleep(pause_s)


async def _soon(awaitable):
    return await asyncio.wait_for(awaitable, TIMEOUT_S)
