# python.quectel.com API reference: app_fota. update() puts the staged files in place, unverified, as the firmware does
# at boot on some platforms; the HTTP downloads always fail here.
from qpycom_stubs import _flash, app_fota_download, checksum, ql_fs

_FLAG = app_fota_download.updater_dir + "/update.flag"


class _Fota:
    def download(self, url: str, name: str) -> int:
        return -1

    def bulk_download(self, info: list) -> object:
        """The items that failed: all."""
        return info or None

    def set_update_flag(self) -> None:
        ql_fs.mkdirs(app_fota_download.updater_dir)
        _flash.open_file(_FLAG, "w").close()

    def update(self) -> int:
        """0, or -1 with the flag left: then it is tried again at every boot."""
        if not ql_fs.path_exists(_FLAG):
            return 0
        try:
            items = app_fota_download.get_download_stat()
            while items:
                name = items[0]["name"]
                ql_fs.mkdirs(ql_fs.path_dirname(name))
                if not ql_fs.file_copy(name, app_fota_download.updater_dir + name):
                    return -1
                checksum.update(name)
                items = items[1:]
                app_fota_download.write_download_stat(items)
                app_fota_download.delete_update_file(name)
            ql_fs.rmdirs(app_fota_download.updater_dir)
        except OSError as error:
            print("app_fota: update failed: %r" % error)
            return -1
        return 0


def new() -> object:
    return _Fota()
