// The device: what runs, how it is, what it knows

const DEVICE_MS = 5000;
const SEARCHED = 12;  // more classes than this get a field to search them
const THROTTLES = {
  under_voltage: "its power supply is too weak", frequency_capped: "its clock is capped",
  throttled: "it is throttled", soft_temperature_limit: "it is above its soft temperature limit",
};
let shownFamilies = "";

function facts(list, entries) {
  keyed(list, entries.filter(([, text]) => text), ([name]) => name, ([name]) =>
    made("div", {}, made("dt", {}, name), made("dd")), (item, [, text]) => put(item.lastElementChild, text));
}

function showDevice(about) {
  facts($("about"), [
    ["Device", about.model],
    ["Name", about.host],
    ["edged", `version ${about.version}`],
    ["Runs since", `${moment(Date.parse(about.started_at))} (${span(about.uptime_seconds)})`],
    ["Runtimes", about.runtimes.map((each) => [each.backend, each.version].filter(Boolean).join(" ")).join(", ")],
  ]);
  facts($("health"), [
    ["Temperature", heat(about)],
    ["Throttling", throttling(about.throttled)],
    ["Speed", about.slowdown >= 1.05
      ? `${about.slowdown.toFixed(1)} x slower than its profile: other programs compute, or it is hot`
      : "as measured on the idle device"],
    ["Power", power(about)],
    ["Power mode", about.power_mode],
  ]);
  const { memory } = about;
  facts($("memory"), [
    ["Device", memory.total_bytes && `${bytes(memory.available_bytes)} of ${bytes(memory.total_bytes)} free`],
    ["edged itself", memory.daemon_bytes && bytes(memory.daemon_bytes)],
    ["Its helpers", memory.helpers && `${bytes(memory.helpers_bytes)} in ${memory.helpers} ${memory.helpers === 1 ? "process" : "processes"} (cameras, training)`],
  ]);
  // Made anew only where something has changed: text in it may be selected, or have the focus.
  const key = JSON.stringify(about.families);
  if (key === shownFamilies) return;
  shownFamilies = key;
  const families = Object.entries(about.families);
  $("profile").replaceChildren(...families.flatMap(([name, family]) => profile(name, family, families.length > 1)));
  $("knows").replaceChildren(...families.map(([name, family]) => classes(name, family)));
}

function heat({ temperature_c: zones, max_temperature_c: most }) {
  const values = Object.values(zones);
  if (!values.length) return "not reported by this device";
  const limit = most === null ? "; no limit is set" : ` of ${most.toFixed(0)} °C at most`;
  return `${Math.max(...values).toFixed(0)} °C${limit}`;
}

/* Rails contain one another, so that only the total is a sum of anything. */
function power({ power_w: rails, total_power_w: total, max_power_w: most }) {
  const watts = (value) => `${value.toFixed(1)} W`;
  const names = Object.entries(rails).map(([rail, value]) => `${rail} ${watts(value)}`);
  if (total === null) return names.join(", ");
  const limit = most === null ? "" : ` of ${+most.toFixed(1)} W at most`;
  return `${watts(total)}${limit}${names.length > 1 ? ` (${names.join(", ")})` : ""}`;
}

function throttling(flags) {
  if (flags === null) return "not reported by this device";
  if (flags.now.length) return `now: ${flags.now.map((each) => THROTTLES[each]).join(", ")}`;
  if (flags.since_boot.length) return `not now, but since its start: ${flags.since_boot.map((each) => THROTTLES[each]).join(", ")}`;
  return "none since its start";
}

function profile(name, { variants, budgets_ms: budgets }, several) {
  const heading = several ? [made("h3", {}, name)] : [];
  const drawn = variants.filter((each) => each.p50_ms !== null && each.accuracy !== null)
    .sort((one, other) => one.p50_ms - other.p50_ms);
  const table = made("details", {}, made("summary", {}, "As a table"), scrolled(`Variants of ${name}`, made("table", {},
    made("thead", {}, row("th", ["variant", "accuracy", "ms"])),
    made("tbody", {}, ...variants.map((each) => row("td", [short(each.name),
      each.accuracy === null ? "unknown" : percent(each.accuracy, 1), each.p50_ms ?? "not yet measured"], true))))));
  if (!drawn.length) return [...heading, made("p", { class: "hint" }, "Not measured yet: edged does it while cameras give it time."), table];
  const slowest = drawn[drawn.length - 1].p50_ms;
  const near = Object.entries(budgets).filter(([, budget]) => budget <= 1.5 * slowest);
  const most = 1.1 * Math.max(slowest, ...near.map(([, budget]) => budget));
  const shares = drawn.map((each) => each.accuracy);
  const high = Math.min(1, Math.ceil(20 * Math.max(...shares) + 0.1) / 20);
  const { x, y, shapes } = axes(most, lowest(shares), "median, milliseconds", "accuracy, %", { high });
  for (const budget of new Set(near.map(([, each]) => each))) {
    const names = near.filter(([, each]) => each === budget).map(([view]) => view);
    shapes.push(shape("line", { class: "budget", x1: x(budget), x2: x(budget), y1: ABOVE, y2: HIGH - BOTTOM },
      shape("title", {}, `budget of ${names.join(", ")}`)));
    const left = x(budget) > WIDE / 2;
    shapes.push(written(x(budget) + (left ? -4 : 4), ABOVE + 10, `budget ${budget}`, left ? "end" : "start"));
  }
  let best = -1;
  for (const each of drawn) {
    const worth = each.accuracy > best;
    best = Math.max(best, each.accuracy);
    shapes.push(shape("circle", { class: worth ? "worth" : "not", cx: x(each.p50_ms), cy: y(each.accuracy), r: worth ? 5 : 3 },
      shape("title", {}, `${short(each.name)}: ${percent(each.accuracy, 1)} in ${each.p50_ms} ms`)));
  }
  const frontier = drawn.filter((each, at) => drawn.slice(0, at).every((other) => other.accuracy < each.accuracy));
  shapes.push(...namesOf(frontier, x, y));
  const said = [frontier[0], frontier[frontier.length - 1]].map((each) =>
    `${short(each.name)} is right in ${percent(each.accuracy)} and takes ${ms(each.p50_ms)} ms`).join("; ");
  const far = Object.entries(budgets).filter(([, budget]) => budget > 1.5 * slowest).map(([view, budget]) => `${view} (${budget} ms)`);
  return [...heading, made("div", { class: "profile" }, plot(`Accuracy against latency of ${of(drawn.length, "variant")} of ${name}: ${said}`, ...shapes),
    made("p", { class: "hint" }, `A large point is a variant worth running. ${capital(said)}.`
      + `${far.length ? ` Further right than this chart: the budget of ${far.join(", ")}.` : ""}`), table)];
}

/* Names beside their points, as far as they do not cover each other. */
function namesOf(frontier, x, y) {
  const taken = [];
  return frontier.flatMap((each) => {
    const [at, high, text] = [x(each.p50_ms), y(each.accuracy), short(each.name)];
    const wide = 6 * text.length;
    const left = at + 8 + wide > WIDE ? at - 8 - wide : at + 8;
    if (taken.some(([from, to, level]) => from < left + wide && left < to && Math.abs(level - high) < 12)) return [];
    taken.push([left, left + wide, high]);
    const name = written(left, high + 4, text, "start");
    name.setAttribute("class", "name");
    return [name];
  });
}

function classes(name, family) {
  const list = made("ul", { class: "classes" });
  const count = made("p", { class: "hint", role: "status" });
  const show = (text) => {
    const wanted = text.trim().toLowerCase();
    const hits = family.classes.filter((label) => label.toLowerCase().includes(wanted));
    const most = hits.slice(0, 60);
    list.replaceChildren(...most.map((label) => made("li", {}, made("bdi", {}, label))));
    put(count, `${wanted ? `${hits.length} of ` : ""}${family.classes.length === 1 ? "1 class" : `${family.classes.length} classes`}`
      + `${hits.length > most.length ? `; the first ${most.length} are shown` : ""}`);
  };
  const parts = [made("h3", {}, `${name}, for ${Object.keys(family.budgets_ms).join(", ")}`)];
  if (family.classes.length > SEARCHED) {
    const id = `search-${name}`;
    const field = made("input", { id, type: "search", autocomplete: "off" });
    field.addEventListener("input", () => show(field.value));
    parts.push(made("p", {}, made("label", { htmlFor: id }, "Search its classes"), " ", field));
  }
  show("");
  return made("div", { class: "family" }, ...parts, count, list);
}

followStatus();
always(DEVICE_MS, async () => showDevice(await read("api/v1/device")));
