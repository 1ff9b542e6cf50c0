# The test file of app/check.py: goes to the folder of the uploads under a temp name that no reader takes for data, is measured,
# renamed and removed, a hop each.

import uio

from app.errors import KNOWN, Error, IntegrityError
from app.proto.parse import parse_size
from app.sync.rules import temp_name

FILE_BYTES = 2048  # two segments, because some ways lose the large ones only
FILE_NAME = "check"
BUFFER_BYTES = 1024
_NO_SIZE = "without SIZE nothing can be proved: switch it on there; for a drop box set server.verify to none"


class TestFile:
    """Through an open session. `folder` ends in "/" or is empty; `told` hears how each hop went."""

    def __init__(self, session, told, folder, digest, has_proof):
        self._ftp = session
        self._told = told
        self._folder = folder
        self._digest = digest
        self._has_proof = has_proof  # False: neither SIZE nor rename, for write-only drop boxes
        self._temp, self._moved = [temp_name(folder + FILE_NAME, digest, attempt) for attempt in (0, 1)]
        self._left = [self._temp]  # names on the server that have to go
        self._made = []  # folders there that have to go

    def walk(self):
        """Walk the hops; nothing stays on the server where that can be helped, and what stays is told."""
        told = self._told
        is_stored = told.step("upload", self._upload)
        for hop, step in (("size", self._size), ("rename", self._rename), ("delete", self._delete)):
            if not is_stored or not self._ftp.is_open():
                told.skipped((hop,))
            elif not self._has_proof and hop != "delete":
                told.skipped((hop,), "server.verify is not size")
            else:
                told.step(hop, step)
        for name in self._left:
            if self._ask("DELE " + name) >= 400 and (is_stored or self._ask("SIZE " + name) != 550):
                told.more("left on the server: " + name)
        while self._made:
            self._ask("RMD " + self._made.pop())

    def _upload(self):
        session = self._ftp
        self._make_folder()
        raw = self._digest * (FILE_BYTES // len(self._digest))
        session.post_transfer([], "STOR " + self._temp)
        try:
            session.open_data()
            session.send_blocks(uio.BytesIO(raw), FILE_BYTES, bytearray(BUFFER_BYTES))
            session.finish()
        except Error as e:
            if e.code not in (426, 451) or not session.is_open():  # with those the size decides
                raise
        return "%d bytes to %s" % (FILE_BYTES, self._temp)

    def _make_folder(self):
        """What is missing of the folder. A refusal may mean that it is there: what counts is whether the file arrives."""
        folder = self._folder
        at = folder.find("/", 1)
        while at > 0:
            self._ftp.post(["MKD " + folder[:at]])
            if self._ftp.reply()[0] == 257:
                self._made.append(folder[:at])
            at = folder.find("/", at + 1)

    def _size(self):
        self._ftp.post(["SIZE " + self._temp])
        try:
            found = parse_size(self._ftp.demand())
        except Error as e:
            if e.code in (500, 502, 504):
                e.advice = _NO_SIZE
            raise
        if found != FILE_BYTES:
            raise IntegrityError("the server holds %d of %d bytes" % (found, FILE_BYTES))
        return "%d bytes" % found

    def _rename(self):
        session = self._ftp
        session.post(["RNFR " + self._temp])
        session.demand()
        self._left.append(self._moved)
        session.post(["RNTO " + self._moved])
        try:
            session.demand()
        except Error:
            self._left.remove(self._moved)
            raise
        self._left.remove(self._temp)
        return "to " + self._moved

    def _delete(self):
        name = self._left[-1]
        self._ftp.post(["DELE " + name])
        try:
            self._ftp.demand()
        except Error as e:
            if self._has_proof:
                raise
            return self._told.redact(e.text()), "a drop box may be so; the file stays there"
        self._left.remove(name)
        return name

    def _ask(self, command):
        """The code of the reply; that of a closed session where there is none."""
        if self._ftp.is_open():
            try:
                self._ftp.abandon_transfer()
                self._ftp.post([command])
                return self._ftp.reply()[0]
            except KNOWN:
                pass  # as if it had been closed before
        return 421
