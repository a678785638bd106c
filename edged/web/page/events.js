// Events of the past, and what was seen hour by hour

const EVERY_MS = 30_000;
const PAGE = 50;
const QUARTER_SECONDS = 900;  // hours of all time zones begin with one
const palette = new Map();
const found = new Map();  // events by number, the newest first
let next = null;  // where older ones begin
let chosen = fromAddress();
let shownHours = new Map();  // hour → rows of what was seen

function fromAddress() {
  const given = new URLSearchParams(location.search);
  const at = Date.parse(given.get("at") ?? "");
  return {
    view: given.get("view") ?? "", event: given.get("event") ?? "", label: given.get("class") ?? "",
    day: Number.isNaN(at) ? null : midnight(at), hour: Number.isNaN(at) || !given.has("hour") ? null : new Date(at).getHours(),
  };
}

function toAddress() {
  const { view, event, label, day: chosenDay, hour } = chosen;
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries({ view, event, class: label })) if (value) query.set(key, value);
  if (chosenDay !== null) query.set("at", local(hourOf(chosenDay, hour ?? 0)));
  if (hour !== null) query.set("hour", "");
  history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}`);
}

/* `2026-11-30T14:00`, in the viewer's zone. */
function local(time) {
  const at = new Date(time);
  const two = (number) => String(number).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}T${two(at.getHours())}:${two(at.getMinutes())}`;
}

function hourOf(start, hour) {
  return new Date(start).setHours(hour);
}

function dayAfter(start) {
  const at = new Date(start);
  return at.setDate(at.getDate() + 1);
}

/* The time that is shown: [since, until], null for no limit. */
function limits() {
  const { day: start, hour } = chosen;
  if (start === null) return [null, null];
  return hour === null ? [start, dayAfter(start)] : [hourOf(start, hour), hourOf(start, hour) + HOUR_MS];
}

// The list

function query(before) {
  const [since, until] = limits();
  const [camera, view] = chosen.view.split("/");
  const parts = { camera, view, event: chosen.event, class: chosen.label, limit: PAGE, before,
    since: since && since / 1000, until: until && until / 1000 };
  return new URLSearchParams(Object.entries(parts).filter(([, value]) => value));
}

async function showNewest() {
  const wanted = chosen;
  const page = await read(`api/v1/events?${query()}`);
  if (wanted !== chosen) return;
  const oldest = Math.min(...page.events.map((each) => each.id));
  // Those of pages further down stay; deleted ones go.
  for (const id of [...found.keys()]) if (!(id < oldest) || page.next === null) found.delete(id);
  const older = [...found];
  found.clear();
  for (const each of page.events) found.set(each.id, each);
  for (const [id, each] of older) found.set(id, each);
  if (!older.length) next = page.next;
  showList();
}

async function showOlder() {
  const wanted = chosen;
  const page = await read(`api/v1/events?${query(next)}`);
  if (wanted !== chosen) return;
  const first = page.events[0]?.id;
  for (const each of page.events) found.set(each.id, each);
  next = page.next;
  showList();
  document.querySelector(`#list [data-key="${first}"] button`)?.focus();
}

function showList() {
  const days = new Map();
  for (const each of found.values()) {
    const start = midnight(Date.parse(each.started_at));
    days.set(start, [...(days.get(start) ?? []), each]);
  }
  keyed($("list"), [...days], ([start]) => String(start), ([start]) =>
    made("section", {}, made("h2", { id: `day-${start}` }), made("ul", { class: "entries", "aria-labelledby": `day-${start}` })),
  (section, [start, own]) => {
    put(section.firstElementChild, day(start));
    keyed(section.lastElementChild, own, (each) => String(each.id), entry, showEntry);
  });
  $("more").hidden = next === null;
  $("none").hidden = found.size > 0;
  const filtered = chosen.view || chosen.event || chosen.label || chosen.day !== null;
  put($("none"), filtered ? "No such event was kept." : "No event yet. Rules in events: of edged.yaml make them of what is seen.");
  offer();
}

function entry(each) {
  const item = copyOf("entry");
  put(item.querySelector(".name"), each.event);
  item.querySelector(".picture").append(each.snapshot
    ? made("img", { src: new URL(`api/v1/events/${each.id}/snapshot.jpg`, HERE), alt: "", loading: "lazy", width: 160, height: 120 })
    : made("span", { class: "blank" }, "no picture"));
  item.querySelector("button").addEventListener("click", () => openEvent(each.id));
  return item;
}

function showEntry(item, each) {
  put(item.querySelector(".place"), `in ${idOf(each)}${each.corrected ? `, corrected to ${each.corrected}` : ""}`);
  put(item.querySelector(".when"), `${clock(Date.parse(each.started_at))}, ${lasting(each)}, ${percent(each.peak)}`);
}

function lasting({ duration_seconds: seconds }) {
  return seconds === null ? "still lasts" : `for ${seconds < 10 ? `${seconds.toFixed(1)} s` : span(seconds)}`;
}

/* What can be filtered by, as far as this page has seen it. */
const known = { event: new Set(), class: new Set() };

function offer() {
  for (const each of found.values()) {
    known.event.add(each.event);
    each.classes.forEach((label) => known.class.add(label));
  }
  if (chosen.event) known.event.add(chosen.event);
  if (chosen.label) known.class.add(chosen.label);
  const options = Object.entries(known).flatMap(([kind, names]) => [...names].sort().map((name) => [kind, name]));
  const texts = { event: "event", class: "class" };
  keyed($("what"), [["", ""], ...options], ([kind, name]) => `${kind}:${name}`, ([kind, name]) =>
    made("option", { value: kind && `${kind}:${name}` }, kind ? `${texts[kind]} ${name}` : "all events"));
  $("what").value = chosen.event ? `event:${chosen.event}` : chosen.label ? `class:${chosen.label}` : "";
}

// The hours of the day

async function showDay() {
  const start = chosen.day ?? midnight(Date.now());
  const wanted = chosen;
  const ids = chosen.view ? [chosen.view] : viewsOf(shownStatus);
  const parts = await Promise.all(ids.map((id) => seenOf(id, start, dayAfter(start), QUARTER_SECONDS)));
  if (wanted !== chosen) return;
  const rows = parts.flatMap((each) => each.rows);
  shownHours = new Map();
  for (const each of rows) {
    const hour = new Date(each.at).getHours();
    shownHours.set(hour, [...(shownHours.get(hour) ?? []), each]);
  }
  const several = new Set(rows.map((each) => each.view)).size > 1;
  put($("day-title"), `${day(start)}: seen by ${chosen.view || (several ? `all ${ids.length} views` : ids.join())}`);
  const shares = sharesOf(rows);
  for (const [label] of shares) colourOf(palette, label);
  keyed($("hours"), [...Array(24).keys()], String, hourButton, showHour);
  showLegend($("legend"), shares, palette);
  showThen(start);
}

function hourButton(hour) {
  const button = made("button", { type: "button", class: "hour" }, made("span", { class: "column" }), made("span", { class: "number" }, String(hour)));
  button.addEventListener("click", () => choose({
    day: chosen.day ?? midnight(Date.now()), hour: chosen.hour === hour ? null : hour }));
  return button;
}

function showHour(button, hour) {
  const shares = sharesOf(shownHours.get(hour) ?? []);
  const inUse = chosen.hour ?? new Date().getHours();
  button.tabIndex = hour === inUse ? 0 : -1;
  button.setAttribute("aria-pressed", String(chosen.hour === hour));
  button.setAttribute("aria-label", `${String(hour).padStart(2, "0")}:00: ${inWords(shares)}`);
  button.title = button.ariaLabel;
  const text = JSON.stringify(shares);
  const column = button.querySelector(".column");
  if (column.dataset.shown === text) return;
  column.dataset.shown = text;
  column.replaceChildren(...shares.map(([label, share]) => {
    const part = made("i", { class: colourOf(palette, label) });
    part.style.height = `${100 * share}%`;
    return part;
  }));
}

$("hours").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 12, ArrowUp: -12 }[event.key];
  const buttons = [...$("hours").children];
  const at = buttons.indexOf(document.activeElement);
  const to = event.key === "Home" ? 0 : event.key === "End" ? 23 : step === undefined ? null : at + step;
  if (at < 0 || to === null || to < 0 || to > 23) return;
  event.preventDefault();
  buttons[at].tabIndex = -1;
  buttons[to].tabIndex = 0;
  buttons[to].focus();
});

/* What was seen in the chosen hour, view by view. */
function showThen(start) {
  const { hour } = chosen;
  const lines = [];
  if (hour !== null) {
    const rows = shownHours.get(hour) ?? [];
    const at = hourOf(start, hour);
    lines.push(made("h3", {}, `${capital(day(start))}, ${clock(at)} to ${clock(at + HOUR_MS)}`));
    const ids = [...new Set(rows.map((each) => each.view))];
    lines.push(...ids.map((id) => made("p", {}, made("b", {}, id), ` saw ${inWords(sharesOf(rows.filter((each) => each.view === id)))}`)));
    if (!ids.length) lines.push(made("p", {}, at > Date.now() ? "This hour is yet to come." : "No pictures came in this hour."));
  }
  const text = lines.map((each) => each.textContent).join("\n");
  if ($("then").dataset.shown === text) return;
  $("then").dataset.shown = text;
  $("then").replaceChildren(...lines);
}

// What is chosen, and asked

function viewsOf(now) {
  return Object.entries(now?.cameras ?? {}).flatMap(([camera, about]) =>
    (about.views ? Object.keys(about.views).map((view) => `${camera}/${view}`) : [camera]));
}

function choose(change) {
  chosen = { ...chosen, ...change };
  found.clear();
  next = null;
  toAddress();
  showChosen();
  look().catch((error) => showConnection(look, capital(error.message)));
}

function showChosen() {
  const ids = [...new Set(["", ...viewsOf(shownStatus), chosen.view])];
  keyed($("view"), ids, (id) => id, (id) => made("option", { value: id }, id || "all views"));
  $("view").value = chosen.view;
  $("date").value = chosen.day === null ? "" : local(chosen.day).slice(0, 10);
  $("date").max = local(Date.now()).slice(0, 10);
  $("time").value = chosen.hour === null ? "" : `${String(chosen.hour).padStart(2, "0")}:00`;
}

$("view").addEventListener("change", () => choose({ view: $("view").value }));
$("what").addEventListener("change", () => {
  const [, kind = "", name = ""] = $("what").value.match(/^(\w+):(.*)$/s) ?? [];
  choose({ event: kind === "event" ? name : "", label: kind === "class" ? name : "" });
});
$("date").addEventListener("change", () => choose({
  day: $("date").value ? new Date(`${$("date").value}T00:00`).getTime() : null,
  hour: $("date").value ? chosen.hour : null }));
$("time").addEventListener("change", () => choose({
  day: $("time").value ? chosen.day ?? midnight(Date.now()) : chosen.day,
  hour: $("time").value ? Number($("time").value.slice(0, 2)) : null }));
$("filters").addEventListener("reset", (event) => {
  event.preventDefault();
  choose({ view: "", event: "", label: "", day: null, hour: null });
});
$("filters").addEventListener("submit", (event) => event.preventDefault());
$("more").addEventListener("click", () => showOlder().catch((error) => showConnection(look, capital(error.message))));

async function look() {
  try {
    if (shownStatus === null) showHeader(await read("api/v1/status"));
    await showNewest();
    await showDay();
    $("past").hidden = true;
    $("all").hidden = false;
  } catch (error) {
    if (error.status !== 404) throw error;
    $("all").hidden = true;
    $("past").hidden = false;
    put($("past"), OFF);
  }
}

followStatus(showChosen);
always(EVERY_MS, look);
