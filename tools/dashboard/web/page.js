// Search, sort, filter, one module's details, and the fresh page while it is served. All text goes through textContent.
"use strict";
(() => {
  const by = (id) => document.getElementById(id);
  const FIELDS = ["state", "name", "heard", "flash", "today", "update"];
  const NUMBERS = new Set(["state", "heard", "flash", "today", "update"]);
  const DOWN_FIRST = new Set(["today", "update"]);
  const names = new Intl.Collator("en", { numeric: true });
  const wanted = read();
  let texts = new Map();
  let opened = new Set();
  let etag = null;

  // What is shown stands in the address behind "#", so that a reload or a bookmark shows the same.
  function read() {
    const found = new URLSearchParams(location.hash.slice(1));
    const sort = found.get("sort") || "";
    return {
      kind: found.get("only") || "",
      text: found.get("search") || "",
      field: FIELDS.includes(sort.replace("-", "")) ? sort.replace("-", "") : "state",
      down: sort.startsWith("-"),
    };
  }

  function write() {
    const parts = new URLSearchParams();
    if (wanted.kind) parts.set("only", wanted.kind);
    if (wanted.text) parts.set("search", wanted.text);
    if (wanted.field !== "state" || wanted.down) parts.set("sort", (wanted.down ? "-" : "") + wanted.field);
    history.replaceState(null, "", location.pathname + location.search + (parts.size ? "#" + parts : ""));
  }

  const rows = () => [...by("rows").querySelectorAll(":scope > tr:not(.detail)")];

  function index() {
    texts = new Map(rows().map((row) => [row, (row.textContent + " " + row.dataset.text).toLowerCase()]));
  }

  function fits(row) {
    const kinds = row.dataset.kinds.split(" ");
    if (wanted.kind && !kinds.includes(wanted.kind)) return false;
    return wanted.text.toLowerCase().split(/\s+/).every((word) => texts.get(row).includes(word));
  }

  function arrange() {
    const field = wanted.field;
    const value = NUMBERS.has(field) ? (row) => Number(row.dataset[field]) : (row) => row.dataset[field];
    const compare = NUMBERS.has(field) ? (a, b) => a - b : names.compare;
    const sorted = rows().map((row) => [value(row), Number(row.dataset.state), row]);
    sorted.sort((a, b) => (wanted.down ? -1 : 1) * compare(a[0], b[0]) || a[1] - b[1]);
    const all = document.createDocumentFragment();
    for (const [, , row] of sorted) {
      const detail = row.nextElementSibling;
      all.append(row);
      if (detail && detail.matches(".detail")) all.append(detail);
    }
    by("rows").append(all);
  }

  function show() {
    let count = 0;
    const all = rows();
    for (const row of all) {
      row.hidden = !fits(row);
      count += !row.hidden;
      const detail = row.nextElementSibling;
      if (detail && detail.matches(".detail")) detail.hidden = row.hidden;
    }
    by("shown").textContent = count === all.length ? `${count} modules` : `${count} of ${all.length} modules`;
    by("nobody").hidden = count > 0;
    for (const tile of by("tiles").children) tile.setAttribute("aria-pressed", String(tile.dataset.kind === wanted.kind));
    for (const head of document.querySelectorAll("th[data-sort]")) {
      if (head.dataset.sort === wanted.field) head.setAttribute("aria-sort", wanted.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    by("search").value = wanted.text;
    by("sort").value = wanted.field;
  }

  function sortBy(field, turn) {
    wanted.down = field === wanted.field && turn ? !wanted.down : DOWN_FIRST.has(field);
    wanted.field = field;
    write(); arrange(); show();
  }

  // --- words

  function span(seconds) {
    seconds = Math.max(0, Math.floor(seconds));
    for (const [unit, size, lower, low] of [["d", 86400, "h", 3600], ["h", 3600, "min", 60], ["min", 60, "", 0]]) {
      if (seconds < size) continue;
      const rest = low && Math.floor((seconds % size) / low);
      return `${Math.floor(seconds / size)} ${unit}` + (rest ? ` ${rest} ${lower}` : "");
    }
    return `${seconds} s`;
  }

  const utc = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ") + " UTC";

  function age() {
    for (const element of document.querySelectorAll("time[data-at]")) {
      const at = Number(element.dataset.at);
      if (at) element.textContent = `${span(Date.now() / 1000 - at)} ago`;
    }
  }

  // --- one module

  function make(tag, text, ...children) {
    const element = document.createElement(tag);
    if (text !== null) element.textContent = text;
    element.append(...children);
    return element;
  }

  function list(entries) {
    return make("ul", null, ...entries.map((entry) => make("li", entry)));
  }

  async function detailOf(id) {
    const all = by("details");
    if (all) {
      detailOf.all = detailOf.all || JSON.parse(all.textContent);
      return detailOf.all[id];
    }
    const answer = await fetch("module?id=" + encodeURIComponent(id));
    if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
    return answer.json();
  }

  async function toggle(row, wants) {
    const button = row.querySelector("button");
    const open = wants ?? button.getAttribute("aria-expanded") !== "true";
    const old = row.nextElementSibling;
    if (old && old.matches(".detail")) old.remove();
    button.setAttribute("aria-expanded", String(open));
    opened[open ? "add" : "delete"](row.id);
    if (!open) return;
    const cell = make("td", "…");
    cell.colSpan = row.children.length;
    const line = make("tr", null, cell);
    line.className = "detail";
    line.hidden = row.hidden;
    row.after(line);
    try {
      cell.replaceChildren(...describe(await detailOf(row.id.slice(2))));
    } catch (error) {
      cell.textContent = `The details could not be had: ${error.message}`;
    }
  }

  function describe(found) {
    const parts = [];
    const section = (title, ...content) => parts.push(make("h3", title), ...content);
    if (found.troubles.length) {
      section("What is wrong, and what to do", make("ul", null, ...found.troubles.map((trouble) =>
        make("li", null, make("b", trouble.label), `: ${trouble.what} `, make("span", "→ " + trouble.do)))));
    }
    const told = found.status;
    if (!told) {
      section("File", make("p", found.file));
      return parts;
    }
    const error = told.error;
    if (error) {
      const when = error.cycle === told.cycle ? "in the cycle that told of it" :
        `in cycle ${error.cycle}, over since: this was told in cycle ${told.cycle}`;
      section("Last error", make("p", `${error.class} in ${error.step || "?"}${error.code ? `, code ${error.code}` : ""}: ${error.text}`),
        make("p", `→ ${error.advice}`), make("p", `${error.count} in a row, ${when}`));
    }
    for (const [title, files] of [["Parked: the server refuses them", told.parked], ["Waiting", told.queue]]) {
      if (!files.count) continue;
      const rest = files.count - files.files.length;
      section(`${title} (${files.count})`, list(files.files.map((file) => `${file[0]}: ${file[1]}`).concat(rest > 0 ? [`and ${rest} more`] : [])));
    }
    const facts = make("dl", null);
    for (const [name, value] of found.facts) facts.append(make("div", null, make("dt", name), make("dd", value)));
    section("As it told", facts);
    if (told.restarts.length) section("Last restarts, the oldest first", list(told.restarts));
    past(found, section);
    section("Its log", make("p", `Put an empty file ${found.log_request} beside its status; the log is there after its next cycle.`));
    return parts;
  }

  function past(found, section) {
    const entries = found.history;
    if (!entries.length) return;
    const charts = make("div", null);
    charts.className = "charts";
    for (const [key, title] of [["free_blocks", "free blocks"], ["bytes_today", "bytes today"], ["signal", "signal (CSQ)"], ["battery_mv", "battery, mV"]]) {
      const chart = draw(entries.filter((entry) => entry[key] !== null).map((entry) => [entry.heard, entry[key]]), title);
      if (chart) charts.append(chart);
    }
    const heads = ["heard (UTC)", "boot", "cycle", "free", "today", "CSQ", "mV", "update", "parked", "error"];
    const table = make("table", null, make("thead", null, make("tr", null, ...heads.map((head) => make("th", head)))));
    table.className = "past";
    for (const cell of [...table.querySelectorAll("th")].slice(1, -1)) cell.className = "n";
    const body = make("tbody", null);
    for (const entry of entries) {
      const numbers = [entry.boots, entry.cycle, entry.free_blocks, entry.bytes_today, entry.signal, entry.battery_mv, entry.update, entry.parked];
      const line = make("tr", null, make("td", utc(entry.heard).slice(0, 19)), ...numbers.map((number) => make("td", number === null ? "–" : String(number))),
        make("td", entry.error ? (entry.has_failed ? "! " : "over: ") + entry.error : ""));
      for (const cell of [...line.children].slice(1, -1)) cell.className = "n";
      body.append(line);
    }
    table.append(body);
    const frame = make("div", null, table);
    frame.className = "scroll";
    frame.tabIndex = 0;
    section(`History: ${entries.length} of the statuses that were seen, the newest first`, charts, frame);
  }

  function draw(points, title) {
    if (points.length < 2) return null;
    points.reverse();
    const svgName = "http://www.w3.org/2000/svg";
    const xs = points.map((point) => point[0]), ys = points.map((point) => point[1]);
    const left = Math.min(...xs), low = Math.min(...ys), high = Math.max(...ys);
    const wide = Math.max(...xs) - left || 1, tall = high - low || 1;
    const svg = document.createElementNS(svgName, "svg");
    svg.setAttribute("viewBox", "0 0 100 30");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `${title}: from ${low} to ${high}, now ${ys.at(-1)}`);
    const line = document.createElementNS(svgName, "polyline");
    line.setAttribute("points", points.map(([x, y]) => `${(100 * (x - left) / wide).toFixed(2)},${(28 - 26 * (y - low) / tall).toFixed(2)}`).join(" "));
    svg.append(line);
    return make("figure", null, make("figcaption", `${title}: ${ys.at(-1)} now, ${low} to ${high}`), svg);
  }

  // --- while it is served

  async function refresh() {
    try {
      const answer = await fetch(location.pathname, { cache: "no-cache" });
      if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
      const tag = answer.headers.get("ETag");
      by("offline").hidden = true;
      if (etag !== null && tag !== etag) take(new DOMParser().parseFromString(await answer.text(), "text/html"));
      etag = tag;
    } catch (error) {
      by("offline").textContent = `The dashboard does not answer (${error.message}); what is shown is as old as it says.`;
      by("offline").hidden = false;
    }
  }

  async function take(page) {
    const focus = document.activeElement && document.activeElement.closest("tr[id], [data-kind]");
    const key = focus && (focus.id ? `#${focus.id} button` : `[data-kind="${focus.dataset.kind}"]`);
    const details = new Map(rows().filter((row) => opened.has(row.id)).map((row) => [row.id, row.nextElementSibling]));
    for (const id of ["rows", "head"]) by(id).replaceWith(document.adoptNode(page.getElementById(id)));
    document.title = page.title;
    index(); arrange();
    for (const [id, detail] of details) {
      const row = by(id);
      if (!row) { opened.delete(id); continue; }
      row.querySelector("button").setAttribute("aria-expanded", "true");
      if (detail) row.after(detail);
    }
    show(); age();
    if (key && document.querySelector(key)) document.querySelector(key).focus();
    for (const id of details.keys()) if (by(id)) await toggle(by(id), true);
  }

  document.addEventListener("click", (event) => {
    const tile = event.target.closest(".tile"), head = event.target.closest("th[data-sort] button");
    const name = event.target.closest("#rows th button");
    if (tile) {
      wanted.kind = wanted.kind === tile.dataset.kind ? "" : tile.dataset.kind;
      write(); show();
    } else if (head) sortBy(head.parentElement.dataset.sort, true);
    else if (name) toggle(name.closest("tr"));
  });
  by("search").addEventListener("input", (event) => { wanted.text = event.target.value; write(); show(); });
  by("sort").addEventListener("change", (event) => sortBy(event.target.value, false));
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && event.target.tagName !== "INPUT" && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      by("search").focus();
    } else if (event.key === "Escape") {
      Object.assign(wanted, { kind: "", text: "" });
      write(); show();
    }
  });

  index();
  if (wanted.field !== "state" || wanted.down) arrange();
  show(); age();
  setInterval(age, 15000);
  if (!by("details")) { refresh(); setInterval(refresh, 15000); }
})();
