# What is to be sent: walks the folders of the upload rules and plans each file. Knows the rules, the ledger and the flash;
# knows nothing of the server.

from app.errors import StorageError
from app.sync.item import REMOVE, SKIP, Candidate, Upload, plan_upload
from app.sync.names import DATED, about, passing_values, render, whole, with_number
from app.sync.records import BATCHED, GET_INTENT, NAMED, PUT_DONE, get_key, log_key, name_key, put_key
from app.sync.rules import is_protected, is_selected, mount_of, temp_name, why_too_long, why_unsendable
from app.sync.folders import walk
from app.sync.staging import settle

SETTLING = 64  # files that are watched until they stand still
_MODES = ("whole", "append", "batch")  # of rules with the same priority they go in this order
LEFT = 8  # temp names on each other server that are remembered


class _Budget:
    """What a rule may send in one cycle."""

    def __init__(self, rule):
        self._files = rule["cycle_files"]
        self._bytes = rule["cycle_bytes"]
        self._count = self._size = 0
        self.is_over = False

    def takes(self, size):
        """True if a file may still go; the first one always."""
        self.is_over = bool(
            self._files
            and self._count >= self._files
            or self._bytes
            and self._count
            and self._size + size > self._bytes
        )
        self._count += 1
        self._size += size
        return not self.is_over


class Outbox:
    """Serves one boot. `clock.seconds()` is the time of day or None; `boot` the number of this boot; `why_wait(size, priority)`
    says why a file has to wait, or ""."""

    def __init__(self, rules, files, ledger, report, clock, buffer, why_wait):
        rules = [rule for rule in rules if rule["from"]]
        # MicroPython's sorted() changes the order of equals.
        self._rules = sorted(rules, key=lambda rule: (-rule["priority"], _MODES.index(rule["mode"]), rules.index(rule)))
        self._away = [rule["move_to"].rstrip("/") + "/" for rule in rules if rule["after"] == "move"]
        self._files = files
        self._ledger = ledger
        self._report = report
        self._clock = clock
        self._buffer = buffer
        self.why_wait = why_wait  # of app.budget
        self._settling = {}  # path -> (digest, ticks when it was first seen, walk in which it was last)
        self._walks = 0
        self.boot = 0
        self.device = ""
        self.imei = ""
        self.left = {}  # number of a server -> temp names that are left there, to be removed when we are back
        self.is_all_seen = True  # nothing kept the last walk from looking at everything

    def go_on(self, before):
        """Take over what the Outbox of older settings knows of this boot."""
        self.imei = before.imei
        self.left = before.left
        self._settling = before._settling
        self._walks = before._walks

    def legs(self):
        """[(mode, rules)]: what goes one behind the other, by priority."""
        found = []
        for rule in self._rules:
            if not found or found[-1][0] != rule["mode"]:
                found.append((rule["mode"], []))
            found[-1][1].append(rule)
        return found

    def files_of(self, rule, is_reverse=None):
        """Yield (path, size in bytes, path below `from`) of every file that a rule selects, in its order or in that of names."""
        if is_reverse is None:
            is_reverse = rule["order"] == "reverse"
        top = rule["from"].rstrip("/")
        if self._files.size(mount_of(top)) is None:  # a card that is not in: what was on it is not gone
            self.is_all_seen = False

        def is_skipped(path):
            return is_protected(path) or self._is_away(path)

        for path, size in walk(self._files, top, is_skipped, self._too_deep, 0, is_reverse):
            self._report.alive()  # whoever looks at all of them takes long
            relative = path[len(top) + 1 :]
            if is_selected(relative, rule["include"], rule["exclude"]):
                yield path, size, relative

    def _is_away(self, path):
        """True for what was sent and moved, by whatever rule."""
        for folder in self._away:
            if (path + "/").startswith(folder):
                return True
        return False

    def uploads(self, rules):
        """Yield an Upload for every file of these rules that has to go as a whole."""
        for rule in rules:
            budget = _Budget(rule)
            for path, size, relative in self.files_of(rule):
                upload = self._consider(rule, path, size, relative, budget)
                if budget.is_over:
                    self.is_all_seen = False
                    break
                if upload:
                    yield upload

    def target(self, rule, relative):
        """(template in pieces, values that are the same at every try, path on the server with the passing ones in braces)."""
        pieces = whole(rule["to"])
        values = about(relative)
        values["device"] = self.device
        values["imei"] = self.imei
        return pieces, values, render(pieces, values)

    def why_not(self, rule, path, size, remote):
        """None, or why a file is never sent as it is."""
        if rule["max_bytes"] and size > rule["max_bytes"]:
            return "%d bytes; upload.max_bytes is %d" % (size, rule["max_bytes"])
        return why_unsendable(path) or why_too_long(remote)

    def must_wait(self, rule, path, size):
        """True, and it is told, if the data budget does not allow `size` bytes now."""
        reason = self.why_wait(size, rule["priority"])
        if reason:
            self._report.waiting(path, reason)
        return bool(reason)

    def is_full(self, files, size):
        """True if at least so many files, or so many bytes of them (0 = any number), are not known to the ledger as they are.

        Contents are not read: a file that was rewritten with the same size is seen by the next cycle only."""
        count = total = 0
        for rule in self._rules:
            for path, found, relative in self.files_of(rule):
                remote = self.target(rule, relative)[2]
                is_log = rule["mode"] == "append"
                key = log_key(path, remote, self._ledger.server) if is_log else put_key(path, remote)
                entry = self._ledger.find(key)
                if entry and entry.size == found or self.why_not(rule, path, found, ""):
                    continue
                count += 1
                total += found - (entry.size if entry and is_log else 0)
                if files and count >= files or size and total >= size:
                    return True
        return False

    def _consider(self, rule, path, size, relative, budget):
        """An Upload, or None if the file is in step, parked, not ready, or was only waiting to be put away."""
        pieces, values, remote = self.target(rule, relative)
        reason = self.why_not(rule, path, size, remote)
        if reason:
            self._report.skipped("up", path, reason)
            return None
        digest = self._files.digest8(path, size, self._buffer)
        key = put_key(path, remote)
        if digest is None or self._report.is_parked(key, digest):
            return None
        ledger = self._ledger
        got, is_there = settle(self._files, ledger, path, size, digest)
        if not is_there:
            return None
        done, pending = self._arrived(key), ledger.under_way(key)
        todo = plan_upload(done, pending, got, size, digest, rule["after"])
        if todo == SKIP:
            return None
        if todo == REMOVE:
            if self.put_away(rule, path):
                ledger.forget(key)
            return None
        is_same = pending and pending.is_of(size, digest)
        if not is_same and not self.is_settled(rule, path, digest):
            return None
        if not self._report.is_late(key) and not budget.takes(size) or self.must_wait(rule, path, size):
            return None
        elsewhere = ledger.begun_elsewhere(key)
        if elsewhere and "{" not in remote:
            name = with_number(remote, elsewhere.flags // 16)
            self.leave(elsewhere.server, temp_name(name, elsewhere.digest, elsewhere.attempt))
        if done and done.server != ledger.server:
            done = None  # what has the name here is not ours
        named, last, moment = b"", "", None
        if "{" in remote:
            named = name_key(path, remote)
            last_moment = ledger.find(named)
            moment = self._moment(rule, pieces, named, digest)
            if moment is None:
                self._report.waiting(path, "the clock is not set, and its name holds date or time")
                return None
            if pending and not is_same and last_moment and last_moment.digest == pending.digest:
                last = self._render(pieces, values, rule, pending.stamp, last_moment)
        # What was verified under a number may have it by now: another content takes another one.
        serial = pending.stamp if is_same else ledger.next_serial()
        if moment:
            remote = self._render(pieces, values, rule, serial, moment)
        return Upload(path, size, digest, key, remote, serial, rule, done, pending, named, last)

    def leave(self, server, temp):
        """Remember a temp name that is of no use any more, on a server that we are not with."""
        left = self.left.setdefault(server, [])
        if temp not in left and len(left) < LEFT:
            left.append(temp)

    def _render(self, pieces, values, rule, serial, moment):
        values.update(passing_values(serial, moment.size, moment.stamp or None, rule["undated"]))
        return render(pieces, values)

    def passing(self, rule, pieces, named, digest, serial):
        """Values of the names that change from try to try. None: wait."""
        moment = self._moment(rule, pieces, named, digest)
        return moment and passing_values(serial, moment.size, moment.stamp or None, rule["undated"])

    def _moment(self, rule, pieces, named, digest):
        """Entry of boot and time of the first try; noted, so that a try after a restart takes the same. None: wait."""
        is_dated = [name for name in DATED if name in pieces]
        entry = self._ledger.find(named)
        if not entry or entry.digest != digest:
            seconds = self._clock.seconds()
            if is_dated and seconds is None and not rule["undated"]:
                return None
            self._ledger.put(NAMED, named, self.boot, digest, seconds or 0)
            entry = self._ledger.find(named)
        return entry

    def is_settled(self, rule, path, digest):
        """True if the file stood still for as long as the rule wants. Files are watched in RAM, from cycle to cycle."""
        if not rule["settle_s"]:
            return True
        now = self._clock.ticks_ms()
        known = self._settling.get(path)
        # Ticks that seem to run backwards: six days have passed.
        if known and known[0] == digest and not 0 <= self._clock.ticks_diff(now, known[1]) < 1000 * rule["settle_s"]:
            self._settling.pop(path)
            return True
        if known and known[0] == digest:
            self._settling[path] = (digest, known[1], self._walks)
        elif known or len(self._settling) < SETTLING:  # the others are watched when these have gone
            self._settling[path] = (digest, now, self._walks)
        self._report.waiting(path, "it is watched until it stands still")
        return False

    def end_walk(self):
        """All rules were walked: files that are gone, or in step, need not be watched any more."""
        for path in [path for path in self._settling if self._settling[path][2] != self._walks]:
            del self._settling[path]
        self._walks += 1

    def _too_deep(self, path):
        self.is_all_seen = False
        self._report.skipped("up", path, "too many folders inside each other")

    # --- what has arrived

    def put_away(self, rule, path):
        """Do with a file that has arrived what the rule says; False if it could not be done, which is told."""
        try:
            if rule["after"] == "delete":
                self._files.remove(path)
            elif rule["after"] == "move":
                kept = rule["move_to"].rstrip("/") + path[len(rule["from"].rstrip("/")) :]
                self._files.make_folders(kept.rsplit("/", 1)[0])
                self._files.rename(path, kept)
        except StorageError as e:
            self._report.skipped("up", path, "it arrived, and stays here: " + e.text(), e)
            return False
        return True

    def trim(self):
        """Keep the folders of what was sent and moved within their limits; the first by name go first."""
        for rule in self._rules:
            if rule["after"] == "move" and (rule["move_files"] or rule["move_bytes"]):
                self._trim(rule)

    def _trim(self, rule):
        def found():
            return walk(self._files, rule["move_to"].rstrip("/"), is_protected, self._too_deep)

        count = size_sum = 0
        for _, size in found():
            count += 1
            size_sum += size
        for path, size in found():
            is_over = rule["move_files"] and count > rule["move_files"]
            if not is_over and not (rule["move_bytes"] and size_sum > rule["move_bytes"]):
                return
            self._files.remove(path)
            count -= 1
            size_sum -= size

    # --- what may go

    def candidates(self, mount):
        """Yield a Candidate for each file of the rules on a mount."""
        for rule in sorted(self._rules, key=lambda rule: rule["priority"]):  # what has it goes last
            if rule["mode"] == "append" or mount_of(rule["from"]) != mount:
                continue
            for path, size, relative in self.files_of(rule, False):  # the first by name go first
                done = self._arrived(put_key(path, self.target(rule, relative)[2]))
                is_sent = done and done.is_of(size, self._files.digest8(path, size, self._buffer))
                yield Candidate(path, size, done.stamp if is_sent else None, rule["drop_unsent"])
            if rule["after"] == "move":  # before all that is still in its place
                for path, size in walk(self._files, rule["move_to"].rstrip("/"), is_protected, self._too_deep):
                    yield Candidate(path, size, 0, False)

    def is_safe(self, path, size):
        """True if the server has what lies at `path`, or if it is none of the files that it should have."""
        if size < 0 or is_protected(path):
            return False
        for rule in self._rules:
            top = rule["from"].rstrip("/") + "/"
            if not path.startswith(top):
                continue
            relative = path[len(top) :]
            if not is_selected(relative, rule["include"], rule["exclude"]):
                continue
            digest = self._files.digest8(path, size, self._buffer)
            for key in (put_key(path, self.target(rule, relative)[2]), get_key(path)):
                entry = self._arrived(key)
                if entry and entry.is_of(size, digest):
                    break
            else:
                return False
        return True

    def _arrived(self, key):
        """The ledger's entry of what the server has. A file of a batch that waits for its name is not there yet."""
        entry = self._ledger.find(key)
        if entry and entry.kind == PUT_DONE and entry.flags == BATCHED:
            for pending in self._ledger.pending.values():
                if pending.kind != GET_INTENT and pending.stamp == entry.stamp:
                    return None
        return entry
