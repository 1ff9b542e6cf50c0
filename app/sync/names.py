# Names on the server, from the template upload.to; pure. A template without {path}, {name}, {stem} or {ext} is a folder: the
# file's path below `from` is put behind it.

# What stands for the same text at every try, and what does not: the second kind is noted in the ledger with the upload.
STABLE = ("device", "imei", "path", "dir", "name", "stem", "ext")
PASSING = ("seq", "boot", "date", "time")
DATED = ("date", "time")


def parse(template):
    """The template in pieces: text, name, text, name, ..., text. Raises ValueError for lone braces and unknown names."""
    pieces = []
    for part in template.split("{"):
        end = part.find("}")
        if pieces:
            if part[:end] not in STABLE + PASSING or end < 0:
                raise ValueError("{" + part)
            pieces.append(part[:end])
            part = part[end + 1 :]
        if "}" in part:
            raise ValueError(part)
        pieces.append(part)
    return pieces


def whole(template):
    """The pieces of a template; for one that names a folder, with the file's path behind it."""
    pieces = parse(template)
    names = [piece for i, piece in enumerate(pieces) if i % 2]
    if "path" in names or "name" in names or "stem" in names or "ext" in names:
        return pieces
    return parse(template.rstrip("/") + "/{path}" if template else "{path}")


def render(pieces, values):
    """The path on the server. Names that `values` has not stay in braces."""
    text = ""
    for i, piece in enumerate(pieces):
        text += piece if i % 2 == 0 else values[piece] if piece in values else "{" + piece + "}"
    return ("/" if text.startswith("/") else "") + "/".join([part for part in text.split("/") if part])


def about(relative):
    """The values that the path of a file below `from` gives."""
    cut = relative.rfind("/")
    name = relative[cut + 1 :]
    dot = name.rfind(".")
    if dot <= 0:  # no extension, or nothing but one
        dot = len(name)
    return {
        "path": relative,
        "dir": relative[: max(0, cut)],
        "name": name,
        "stem": name[:dot],
        "ext": name[dot:],
    }


def passing_values(serial, boot, seconds, undated):
    """Values of the other names. `seconds` since 1970 in UTC; None where the clock is not set: then `undated` stands there."""
    date, time = civil(seconds) if seconds is not None else (undated, undated)
    return {"seq": "%08d" % serial, "boot": "%05d" % boot, "date": date, "time": time}


def civil(seconds):
    """("2026-11-22", "14-05-09") of seconds since 1970, in UTC. The module's own localtime() adds eight hours wherever it is."""
    days, rest = seconds // 86400, seconds % 86400
    # Days are counted from a 1 March, 400 years at a time: the leap day is the last of its year.
    days += 719468
    era = days // 146097
    day = days - era * 146097
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    month = month + 3 if month < 10 else month - 9
    year += era * 400 + (1 if month <= 2 else 0)
    return "%04d-%02d-%02d" % (year, month, day + 1), "%02d-%02d-%02d" % (rest // 3600, rest // 60 % 60, rest % 60)


def with_number(remote, number):
    """The same name with a number before its extension; 0 changes nothing."""
    if not number:
        return remote
    values = about(remote)
    folder = remote[: len(remote) - len(values["name"])]
    return "%s%s-%d%s" % (folder, values["stem"], number, values["ext"])
