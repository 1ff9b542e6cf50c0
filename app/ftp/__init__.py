# The FTP client, usable alone: `from app.ftp import FTP`. The names are ftplib's.

from app.errors import ConnectionClosed, Error, TransportError
from app.errors import PermReply as error_perm
from app.errors import ProtocolError as error_proto
from app.errors import TempReply as error_temp
from app.errors import UnexpectedReply as error_reply
from app.ftp.client import FTP, FTP_TLS
from app.proto.parse import parse150, parse227, parse229, parse257

all_errors = (Error, OSError, EOFError)
