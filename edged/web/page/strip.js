// What a view saw: the shares of its classes over time

const OFF = "This daemon keeps no history, so nothing of the past is shown. To keep 30 days, set "
  + "history: {days: 30} in edged.yaml.";
const COLOURS = 5;

/* Rows with `at` in milliseconds, the oldest first; a step without results has none. */
async function seenOf(view, since, until, step) {
  const query = new URLSearchParams({
    view, since: Math.floor(since / 1000), until: Math.ceil(until / 1000), step });
  const { seen } = await read(`api/v1/seen?${query}`);
  const rows = seen.map((each) => ({ ...each, at: Date.parse(each.at), view }));
  return { rows, since, until };
}

/* [[label, share of all results], …], the most frequent first; label null for others, false for
   nothing. */
function sharesOf(rows) {
  const counts = new Map();
  let all = 0;
  const count = (label, number) => number > 0 && counts.set(label, (counts.get(label) ?? 0) + number);
  for (const { shares, other, nothing, results } of rows) {
    all += results;
    for (const [label, share] of Object.entries(shares)) count(label, share * results);
    count(null, other * results);
    count(false, nothing * results);
  }
  const weight = ([label, number]) => (typeof label === "string" ? number : label === null ? -1 : -2);
  return [...counts].sort((one, other) => weight(other) - weight(one)).map(([label, number]) => [label, number / all]);
}

function nameOf(label) {
  return label === null ? "others" : label === false ? "nothing sure" : label;
}

function inWords(shares) {
  const named = shares.slice(0, 6).map(([label, share]) => `${nameOf(label)} ${roughly(share)}`);
  return named.join(", ") || "no results";
}

function roughly(share) {
  return share > 0 && share < 0.005 ? "below 1 %" : percent(share);
}

/* A class keeps its colour while the page is open. */
function colourOf(palette, label) {
  if (typeof label !== "string") return label === null ? "other" : "nothing";
  if (!palette.has(label)) palette.set(label, palette.size);
  const number = palette.get(label);
  return number < COLOURS ? `c${number}` : "other";
}

function drawStrip(holder, { rows, since, until }, palette, stepSeconds) {
  const [svg, hours] = [holder.querySelector("svg"), holder.querySelector(".hours")];
  const wide = svg.clientWidth || 320, high = 48;
  svg.setAttribute("viewBox", `0 0 ${wide} ${high}`);
  const x = (time) => Math.min(wide, Math.max(0, (wide * (time - since)) / (until - since)));
  for (const [label] of sharesOf(rows)) colourOf(palette, label);
  const paths = new Map();
  for (const each of rows) {
    const [left, right] = [x(each.at), x(each.at + 1000 * stepSeconds)];
    let below = high;
    for (const [label, share] of sharesOf([each])) {
      const above = below - high * share;
      const kind = colourOf(palette, label);
      paths.set(kind, `${paths.get(kind) ?? ""}M${left.toFixed(1)},${below.toFixed(1)}H${right.toFixed(1)}V${above.toFixed(1)}H${left.toFixed(1)}Z`);
      below = above;
    }
  }
  svg.replaceChildren(shape("line", { class: "void", x1: 0, x2: wide, y1: high - 1, y2: high - 1 }),
    ...[...paths].map(([kind, d]) => shape("path", { class: kind, d })));
  const every = wide > 480 ? 3 : 6;
  const marks = [];
  const first = new Date(since);
  first.setMinutes(0, 0, 0);
  for (let at = first.getTime(); at <= until; at += HOUR_MS) {
    const place = x(at) / wide;
    if (new Date(at).getHours() % every || at < since || place < 0.04 || place > 0.93) continue;
    const mark = made("span", {}, clock(at));
    mark.style.left = `${(100 * place).toFixed(2)}%`;
    marks.push(mark);
  }
  hours.replaceChildren(...marks);
}

function showLegend(list, shares, palette) {
  keyed(list, shares.slice(0, COLOURS + 2), ([label]) => String(label), ([label]) =>
    made("li", {}, made("i", { class: `swatch ${colourOf(palette, label)}` }), made("bdi", {}, nameOf(label)), " ", made("span")),
  (item, [, share]) => put(item.lastElementChild, roughly(share)));
  if (!shares.length) list.replaceChildren(made("li", { "data-key": "" }, "no results in this time"));
}

function hourTable(rows) {
  const hours = new Map();
  for (const each of rows) {
    const hour = new Date(each.at).setMinutes(0, 0, 0);
    hours.set(hour, [...(hours.get(hour) ?? []), each]);
  }
  return made("table", {}, made("thead", {}, row("th", ["hour", "seen"])),
    made("tbody", {}, ...[...hours].reverse().map(([hour, own]) =>
      row("td", [moment(hour), inWords(sharesOf(own))], true))));
}

/* Since when the variants that ran are less accurate than the best; null if they are not. */
function belowSince(rows) {
  let since = null;
  for (const { at, accuracy, best_accuracy: best } of [...rows].reverse()) {
    if (accuracy === null || best === null) continue;
    if (best - accuracy < 0.005) break;
    since = at;
  }
  return since;
}
