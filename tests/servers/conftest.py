from tests.ftpd.fixtures import ftpd, ftpd_server

__all__ = ["ftpd", "ftpd_server"]
