# An update as docs/PROTOCOL.md has it, read as a module would: on purpose none of the publisher's code.
import hashlib
import hmac
import json


def read_manifest(folder, key=None):
    """The JSON object of the manifest in `folder`, with its signature checked."""
    raw = (folder / "manifest").read_bytes()
    assert len(raw) <= 16384
    head, body = raw.split(b"\n", 1)
    expected = hmac.new(key, body, "sha256").hexdigest() if key else "-"
    assert head == b"FERRY1 " + expected.encode()
    return json.loads(body.decode("utf-8"))


def read_update(folder, key=None):
    """{path on the module: bytes}, every size and digest checked."""
    data = read_manifest(folder, key)
    pack = b""
    if "pack" in data:
        pack = (folder / data["pack"]["name"]).read_bytes()
        assert len(pack) == data["pack"]["size"]
    files = {}
    for entry in data["files"]:
        if "at" in entry:
            content = pack[entry["at"] : entry["at"] + entry["size"]]
        else:
            content = (folder / "files" / entry["sha256"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["size"], entry["sha256"])
        files[entry["path"]] = content
    return files
