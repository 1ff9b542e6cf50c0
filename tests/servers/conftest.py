from tests.ftpd.fixtures import ftpd, ftpd_server
from tests.world import world

__all__ = ["ftpd", "ftpd_server", "world"]
