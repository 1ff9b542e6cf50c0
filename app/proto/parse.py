# What stands in one line from the server, without I/O. Everything is checked: a server may send anything.
# parse150 parse227 parse229 parse257 take, return and raise what the functions of that name in ftplib do.

from app.errors import ADVICE, HALT, LATER, PermReply, ProtocolError, TempReply, UnexpectedReply

_SECURITY = (521, 522, 533, 534, 535, 536)  # RFC 2228, RFC 4217: the protection of the data connection
NUMBER_DIGITS = 15  # longest number that is believed: 15 digits are more than any flash


def error_for(code, text, verb):
    """The exception for a negative reply."""
    kind = TempReply if 400 <= code < 500 else PermReply if 500 <= code < 600 else ProtocolError
    error = kind(text, verb=verb, code=code)
    wants_reuse = "reuse" in text.lower()
    if code in _SECURITY or wants_reuse:  # concerns every file, and only a person can change it
        error.action = HALT
        error.advice = ADVICE[522] if wants_reuse else ADVICE.get(code, ADVICE[522])
    if code == 552:  # a full quota passes, and is the fault of no file
        error.action = LATER
    return error


def _is_number(text):
    """True for ASCII digits, not too many: str.isdigit() takes those of all alphabets on a PC."""
    return len(text) <= NUMBER_DIGITS and text.encode().isdigit()


def _demand(text, code, verb):
    if text[:3] != str(code):
        number = int(text[:3]) if _is_number(text[:3]) else 0
        if number >= 400:
            raise error_for(number, text, verb)
        raise UnexpectedReply(text, verb=verb, code=number)


def _six_numbers(text):
    """The first six numbers in `text` that stand with nothing but commas and blanks between them, or None."""
    found = []
    run = ""
    for c in text + ".":
        if "0" <= c <= "9":
            run += c
            continue
        if run:
            found.append(int(run) if len(run) <= NUMBER_DIGITS else -1)
            run = ""
        if len(found) == 6:
            return found
        if c not in ", ":
            found = []
    return None


def parse150(text):
    """Size in bytes that a 150 reply announces, "(1234 bytes)", or None."""
    _demand(text, 150, "RETR")
    end = text.find(" bytes)")
    start = text.rfind("(", 0, end) if end > 0 else -1
    digits = text[start + 1 : end] if start >= 0 else ""
    return int(digits) if _is_number(digits) else None


def parse227(text):
    """(host, TCP port) of a 227 reply (RFC 959 PASV), wherever the six numbers stand in it."""
    _demand(text, 227, "PASV")
    found = _six_numbers(text[3:])
    port = found[4] * 256 + found[5] if found and 0 <= min(found[4:]) and max(found[4:]) <= 255 else 0
    if port:  # the address may be nonsense: nobody uses it unless he is told to
        return "%d.%d.%d.%d" % tuple(found[:4]), port
    raise ProtocolError(text, verb="PASV", code=227)


def parse229(text, peer):
    """(host, TCP port) of a 229 reply (RFC 2428 EPSV); the host is that of `peer`, the control connection's (host, port)."""
    _demand(text, 229, "EPSV")
    start = text.find("(")
    end = text.find(")", start)
    inside = text[start + 1 : end] if 0 <= start < end else ""
    if len(inside) >= 5:
        parts = inside.split(inside[0])
        if len(parts) == 5 and _is_number(parts[3]) and 0 < int(parts[3]) <= 65535:
            return peer[0], int(parts[3])
    raise ProtocolError(text, verb="EPSV", code=229)


def parse257(text):
    """The folder name in a 257 reply (PWD, MKD): between quotes, doubled quotes inside; "" if there is none."""
    _demand(text, 257, "PWD")
    if text[3:5] != ' "':
        return ""
    name = ""
    i = 5
    while i < len(text):
        c = text[i]
        i += 1
        if c == '"':
            if text[i : i + 1] != '"':
                break
            i += 1
        name += c
    return name


def parse_size(text):
    """Bytes of a 213 reply to SIZE; text behind the number is ignored. ProtocolError if there is no number."""
    words = text[3:].split()
    if text[:3] == "213" and words and _is_number(words[0]):
        return int(words[0])
    raise ProtocolError(text, verb="SIZE", code=213)


def parse_facts(line):
    """(name, facts) of one MLSD or MLST line (RFC 3659): "type=file;size=3; name". The facts' names are in lower case."""
    end = line.find(" ")
    if end < 0:
        raise ProtocolError("not an MLSD line: " + line[:80], verb="MLSD")
    facts = {}
    for fact in line[:end].split(";"):
        at = fact.find("=")
        if at > 0:
            facts[fact[:at].lower()] = fact[at + 1 :]
    return line[end + 1 :], facts


def parse_fact_size(facts):
    """The size fact in bytes, or -1 where there is none that can be believed."""
    digits = facts.get("size", "")
    return int(digits) if _is_number(digits) else -1
