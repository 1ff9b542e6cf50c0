# The five methods of the vendor's FTP note, for code that was written after it: same names, arguments and results, but
# byte-exact, checked by size, and never a half file under a final name, here or there. Ports are made on first use.

from app.errors import KNOWN, IntegrityError, StorageError
from app.proto.parse import error_for, parse_size
from app.proto.session import Session
from app.sync.rules import TEMP_SUFFIX

BUFFER_BYTES = 1024  # the heap may be in pieces: the caller is not main.py
TIMEOUT_S = 15


class Manual:
    """One file at a time, by hand. Not for use while run() is under way on the same object."""

    def __init__(self, files, net, clock, log):
        """Ports that are None are made: the note's own example has none to give."""
        if clock is None:
            from app.platform.clock import Clock

            clock = Clock()
        if files is None:
            from app.platform.files import Files

            files = Files()
        if net is None:
            from app.platform.sockets import Net

            net = Net()
        if log is None:
            from app.log import Log

            log = Log(clock)
        self._files = files
        self._net = net
        self._clock = clock
        self._log = log
        self._by_hand = None

    def connect(self, host, port=21):
        """Connect; returns the server's greeting. Raises TransportError or what the server says. Blocks for two time-outs."""
        self._by_hand = Session(self._net, self._clock, TIMEOUT_S)
        return self._by_hand.open(host, port)

    def login(self, username, password):
        """Log in; returns the server's reply. Raises AuthError if it refuses."""
        self._by_hand.start_login(username, password)
        self._by_hand.settle()
        return self._by_hand.login_reply

    def check_file(self, filename):
        """True if /usr holds a file of this name."""
        size = self._files.size("/usr/" + filename)
        return size is not None and size >= 0

    def upload_file(self, path, filename):
        """Send path + filename to the server's current folder. True if the server holds all of it under its name."""
        return self._told("Upload %s to FTP server %s.", filename, self._upload, path + filename)

    def download_file(self, path, filename):
        """Fetch `filename` from the server's current folder to path + filename. True if all of it is there.

        On False the file that was there before is untouched."""
        return self._told("Download %s to device %s.", filename, self._download, path + filename)

    def _told(self, text, filename, transfer, local):
        try:
            transfer(local if local[0] == "/" else "/" + local, filename)
        except KNOWN as e:
            self._log.error(text + " %s; %s", filename, "failed", e, e.advice)
            return False
        self._log.info(text, filename, "success")
        return True

    def _upload(self, local, name):
        session = self._by_hand
        size = self._files.size(local)
        if size is None or size < 0:
            raise StorageError("%s is no file" % local, step="upload", advice="check path and name")
        temp = name + TEMP_SUFFIX
        stream = self._files.open(local, "rb")
        try:
            session.post_transfer([], "STOR " + temp)
            session.open_data()
            session.send_blocks(stream, size, bytearray(BUFFER_BYTES))
            session.finish()
        finally:
            stream.close()
        session.post(["SIZE " + temp])
        found = parse_size(session.demand())
        if found != size:
            raise IntegrityError("the server holds %d of %d bytes" % (found, size), verb="SIZE")
        session.post(["RNFR " + temp, "RNTO " + name])
        session.demand()
        session.demand()

    def _download(self, local, name):
        session = self._by_hand
        session.post(["SIZE " + name])
        code, text = session.reply()
        if code != 213:
            raise error_for(code, text, "SIZE")
        size = parse_size(text)
        session.post_transfer([], "RETR " + name)
        session.open_data()
        writer = self._files.writer(local + TEMP_SUFFIX)
        try:
            got = session.receive_blocks(writer.write, at_most=size)
            session.finish()
            if got != size:
                raise IntegrityError("%d of %d bytes arrived" % (got, size), verb="RETR")
            writer.close()
        finally:
            writer.abandon()
        self._files.commit(local + TEMP_SUFFIX, local, size)
