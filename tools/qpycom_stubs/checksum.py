# python.quectel.com API reference: backup_restore (checksum). Keeps /usr/checksum.json in step with a protected file
# that was replaced on purpose; files that are not listed there are not protected.
import json as _json

from qpycom_stubs import _flash, file_crc32, ql_fs

_LIST = "/usr/checksum.json"


def update(path: str) -> None:
    items = ql_fs.read_json(_LIST) or []
    changed = [item for item in items if item["name"] == path]
    for item in changed:
        item["crc32"] = file_crc32.calc(path)
    if changed:
        with _flash.open_file(_LIST, "w") as writer:
            writer.write(_json.dumps(items))
