# python.quectel.com API reference: app_fota. Where staged files lie and how they are listed: /usr/.updater + name,
# download.stat. The HTTP downloads themselves are not simulated.
import json as _json

from qpycom_stubs import _flash, ql_fs, uos

updater_dir = "/usr/.updater"
_STAT = updater_dir + "/download.stat"


def get_updater_dir() -> str:
    return updater_dir


def get_download_stat() -> list:
    return ql_fs.read_json(_STAT) or []


def update_download_stat(url: str, name: str, size: int) -> None:
    """Adds a staged file to the list, once; names are the same whatever their case."""
    items = get_download_stat()
    if name.lower() in [item["name"].lower() for item in items]:
        return
    items.append({"url": url, "name": name, "total_size": size})
    write_download_stat(items)


def write_download_stat(items: list) -> None:
    ql_fs.mkdirs(updater_dir)
    with _flash.open_file(_STAT, "w") as writer:
        writer.write(_json.dumps(items))


def delete_update_file(name: str) -> None:
    uos.remove(updater_dir + name)
