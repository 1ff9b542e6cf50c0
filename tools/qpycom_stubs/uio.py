# python.quectel.com API reference: uio. The host's streams in memory, and the simulated flash's open().
from io import BytesIO, StringIO  # noqa: F401

from qpycom_stubs._flash import open_file as open  # noqa: F401
