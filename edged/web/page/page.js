const STATUS_MS = 1000;
const HISTORY_MS = 3000;
const PICTURE_MS = 300;
const STALE_MS = 4000;
const PICTURE_AGE_SHOWN_SECONDS = 3;

const cameras = new Map();
const views = new Map();  // by id, camera/view or camera
let answered = 0;
let shownMessage = "";

function made(template, parent, label) {
  const element = $(template).content.firstElementChild.cloneNode(true);
  element.setAttribute("aria-label", label);
  parent.append(element);
  return { element, find: (selector) => element.querySelector(selector) };
}

function cardOf(name, several) {
  if (cameras.has(name) && cameras.get(name).several !== several) forgetCamera(name);
  if (cameras.has(name)) return cameras.get(name);
  const card = made("camera", $("cameras"), `camera ${name}`);
  card.element.dataset.camera = name;
  card.element.classList.add(several ? "several" : "alone");
  put(card.find(".name"), name);
  Object.assign(card, { several, ids: [], gone: false, delivers: false, pictured: false });
  cameras.set(name, card);
  watch(name, card);
  return card;
}

function forgetCamera(name) {
  const card = cameras.get(name);
  card.ids.forEach(forgetView);
  card.gone = true;
  card.element.remove();
  cameras.delete(name);
}

function viewOf(id, card, name) {
  if (views.has(id)) return views.get(id);
  const view = made("view", card.find(".views"), name === null ? "" : `view ${name}`);
  if (name === null) view.element.removeAttribute("aria-label");
  else {
    view.element.dataset.view = name;
    for (const heading of view.element.querySelectorAll("h3:not(.view)")) heading.ariaLevel = 4;
    view.find(".view").hidden = false;
    put(view.find(".name"), name);
  }
  view.find(".teach").href = `teach?view=${encodeURIComponent(id)}`;
  view.find(".teach").ariaLabel = `teach it your classes: ${id}`;
  Object.assign(view, { budget: 0, old: false });
  views.set(id, view);
  return view;
}

function forgetView(id) {
  views.get(id).element.remove();
  views.delete(id);
}

function ms(value) {
  if (value === null) return "–";
  return value < 10 ? value.toFixed(1) : value.toFixed(0);
}

function figure(element, value, unit, kind = "") {
  put(element, "");
  element.className = `${element.className.split(" ")[0]} ${kind}`.trim();
  const small = document.createElement("small");
  small.textContent = ` ${unit}`;
  element.append(value, small);
}

function showTop(list, top, none) {
  list.replaceChildren(...top.map(({ label, score }) => {
    const item = document.createElement("li");
    const line = item.appendChild(document.createElement("div"));
    line.className = "line";
    line.appendChild(document.createElement("span")).textContent = label;
    line.appendChild(document.createElement("span")).textContent = `${(100 * score).toFixed(0)} %`;
    const rail = item.appendChild(document.createElement("div"));
    rail.className = "rail";
    const bar = rail.appendChild(document.createElement("div"));
    bar.className = "bar";
    bar.style.width = `${100 * score}%`;
    return item;
  }));
  if (!top.length) {
    const item = list.appendChild(document.createElement("li"));
    item.className = "nothing";
    item.textContent = none;
  }
}

function showCamera(name, camera, loading, families) {
  const several = "views" in camera;
  const card = cardOf(name, several);
  const { find } = card;
  const own = several
    ? Object.entries(camera.views).map(([view, about]) => [`${name}/${view}`, view, about])
    : [[name, null, camera]];
  card.delivers = camera.state === "streaming" && own.some(([, , about]) => about.last !== null);
  const shown = loading && camera.state === "streaming" ? "loading" : camera.state;
  const state = find(".state");
  state.className = `state ${shown}`;
  put(state, shown);
  const error = find(".error");
  error.hidden = !camera.last_error || camera.state === "streaming";
  put(error, camera.last_error || "");
  const ids = own.map(([id]) => id);
  card.ids.filter((id) => !ids.includes(id)).forEach(forgetView);
  card.ids = ids;
  for (const [id, view, about] of own) {
    const section = viewOf(id, card, view);
    put(section.find(".family"), families > 1 && several ? about.family : "");
    showView(section, about, loading, card.pictured);
  }
  if (several) showRegions(find(".regions"), own);
}

function isOld({ last, max_fps }) {
  return last.age_seconds > Math.max(5, 2 / (max_fps || 1));
}

function showView(section, view, loading, pictured) {
  const { find } = section;
  section.budget = view.budget_ms;
  section.nothing = view.to_teach || "no class above min_score";
  const percent = view.on_time === null ? "–" : (100 * view.on_time).toFixed(1);
  const kept = view.on_time === null || view.on_time >= view.on_time_target;
  figure(find(".on-time"), percent, `% of ${+(100 * view.on_time_target).toFixed(1)}`, kept ? "good" : "bad");
  figure(find(".p50"), ms(view.latency_ms.p50), "ms");
  figure(find(".p95"), ms(view.latency_ms.p95), "ms",
    view.latency_ms.p95 > view.budget_ms ? "bad" : "");
  const digits = view.fps < 10 ? 1 : 0;
  const rate = view.fps < 1 ? +view.fps.toPrecision(2) : view.fps.toFixed(digits);
  figure(find(".fps"), rate, "fps");
  put(find(".chart-title"), `Latency against the budget of ${view.budget_ms} ms`);
  const last = view.last;
  if (!last) {  // clear what an earlier daemon may have left
    find(".top").replaceChildren();
    put(find(".variant"), "");
    put(find(".why"), loading ? "loading networks" : "no result yet");
    return;
  }
  section.old = isOld(view);
  if (section.old) showTop(find(".top"), [], "no recent result");
  else if (!pictured) showTop(find(".top"), last.top, section.nothing);
  put(find(".variant"), last.variant);
  const threads = last.threads > 1 ? ` on ${last.threads} threads` : "";
  put(find(".why"), section.old
    ? `last run ${span(last.age_seconds)} ago`
    : `${last.runtime}${threads}: ${last.why}`);
}

function verdict(view) {
  const { last, budget_ms } = view;
  if (!last || isOld(view)) return ["unsure", "no result"];
  if (last.latency_ms > budget_ms) return ["late", `${last.top[0]?.label ?? "unsure"}, late`];
  return last.top.length ? ["sure", last.top[0].label] : ["unsure", "unsure"];
}

function showRegions(element, own) {
  element.replaceChildren(...own.flatMap(([, name, view]) => {
    const [left, top, width, height] = (view.roi || [0, 0, 1, 1]).map((share) => 100 * share);
    const [kind, text] = verdict(view);
    const box = document.createElement("div");
    box.className = `region ${kind}`;
    Object.assign(box.style,
      { left: `${left}%`, top: `${top}%`, width: `${width}%`, height: `${height}%` });
    const label = document.createElement("span");
    label.className = `label ${kind}`;
    label.textContent = `${name}: ${text}`;
    label.title = label.textContent;
    const right = 100 - left - width;  // a label grows away from the nearer edge
    Object.assign(label.style, left <= right ? { left: `${left}%` } : { right: `${right}%` },
      { top: `${top}%`, maxWidth: `max(${width}%, 5rem)` });
    return [box, label];
  }));
}

function showFamilies(families) {
  const known = families.map(([, { classes, count }]) =>
    `${count} classes: ${classes.join(", ")}${count > classes.length ? ", …" : ""}`);
  const several = known.length > 1;
  const [summary, lines] = $("family").children;
  put(summary, several ? `Classes of ${known.length} families` : known[0]);
  put(lines, several ? families.map(([name], at) => `${name}: ${known[at]}`).join("\n") : "");
  $("family").hidden = false;
}

function showStatus(status) {
  const families = Object.entries(status.families);
  for (const [name, camera] of Object.entries(status.cameras)) {
    showCamera(name, camera, status.loading, families.length);
  }
  for (const name of [...cameras.keys()]) {
    if (!(name in status.cameras)) forgetCamera(name);
  }
  showFamilies(families);
  const parts = [status.runtimes.join(" and "), families.map(([name]) => name).join(", ")];
  if (status.temperature_c !== null) parts.push(`${status.temperature_c.toFixed(0)} °C`);
  if (status.slowdown >= 1.05) parts.push(`slow-down ${status.slowdown.toFixed(2)}`);
  if (status.engines_building) parts.push(`${status.engines_building} engines to build`);
  put($("device"), parts.join(" · "));
  put($("version"), `version ${status.version}`);
}

function draw(svg, rows, seconds, budget) {
  svg.replaceChildren();
  if (!rows.length) return;
  const top = Math.max(1.5 * budget, ...rows.map((row) => Math.min(row.p95_ms * 1.1, 4 * budget)));
  const x = (row) => (600 * (1 - row.ago / seconds)).toFixed(1);
  const y = (value) => (158 - 150 * Math.min(1, value / top)).toFixed(1);
  const stretches = [];
  for (const row of rows) {
    const stretch = stretches[stretches.length - 1];
    if (stretch && stretch[stretch.length - 1].ago - row.ago <= 3) stretch.push(row);
    else stretches.push([row]);
  }
  const line = (points, key) => points.map((row) => `${x(row)},${y(row[key])}`).join("L");
  const shapes = [shape("line", { class: "base", x1: 0, x2: 600, y1: 158, y2: 158 })];
  for (const part of stretches.map((each) => each.filter((row) => row.variant))) {
    if (!part.length) continue;
    const [first, last] = [x(part[0]), x(part[part.length - 1])];
    shapes.push(shape("path", { class: "band", d: `M${first},158L${line(part, "p95_ms")}L${last},158Z` }));
    shapes.push(shape("path", { class: "median", d: `M${line(part, "p50_ms")}` }));
  }
  const late = rows.filter((row) => row.late).map((row) => `M${x(row)},2v6`).join("");
  if (late) shapes.push(shape("path", { class: "late", d: late }));
  const edge = rows.map((row, at) => (at ? `H${x(row)}V${y(row.budget_ms || budget)}`
    : `M0,${y(row.budget_ms || budget)}`)).join("");
  shapes.push(shape("path", { class: "budget", d: `${edge}H600` }));
  svg.replaceChildren(...shapes);
  const lateSeconds = rows.filter((row) => row.late).length;
  svg.setAttribute("aria-label",
    `budget ${budget} ms; late results in ${lateSeconds} of the last ${rows.length} seconds`);
}

function showHistory(history) {
  for (const [id, rows] of Object.entries(history.cameras)) {
    const view = views.get(id);
    if (!view) continue;
    const named = rows.map((row) =>
      Object.fromEntries(history.columns.map((column, at) => [column, row[at]])));
    draw(view.find(".chart"), named, history.seconds, view.budget);
  }
}

function showMessage(text) {
  if (text === shownMessage) return;
  shownMessage = text;
  put($("connection"), text);
  document.body.classList.toggle("stale", text !== "");
}

async function poll(path, everyMs, show) {
  for (;;) {
    await visible();
    try {
      show(await (await ask(path)).json());
      answered = Date.now();
      showMessage("");
    } catch (error) {
      const age = span((Date.now() - answered) / 1000);
      if (!answered) showMessage(error.message);
      else if (Date.now() - answered > STALE_MS) showMessage(`${error.message}; last update ${age} ago`);
    }
    await sleep(everyMs);
  }
}

async function watch(name, card) {
  const image = card.find("img");
  const caption = card.find("figcaption");
  image.alt = `picture from camera ${name}`;
  while (!card.gone) {
    await visible();
    let pause = PICTURE_MS;
    try {
      if (!card.delivers) throw new Error("no picture expected");
      const answer = await ask(`api/v1/cameras/${name}/snapshot.jpg`);
      const age = Number(answer.headers.get("Picture-Age-Seconds"));
      const result = JSON.parse(answer.headers.get("Picture-Result"));
      const picture = await answer.blob();
      const before = image.src;
      image.src = URL.createObjectURL(picture);
      await image.decode();
      const ratio = image.naturalWidth / image.naturalHeight;
      card.find("figure").style.setProperty("--ratio", ratio);
      if (before) URL.revokeObjectURL(before);
      showPicture(card, true);
      const view = views.get(name);
      if (result && view && !view.old) {
        showTop(view.find(".top"), result.top, view.nothing);
      }
      put(caption, age > PICTURE_AGE_SHOWN_SECONDS ? `${span(age)} ago` : "");
    } catch (error) {
      showPicture(card, false);
      put(caption, "no picture");
      pause = 1000;
    }
    await sleep(pause);
  }
}

function showPicture(card, there) {
  card.find("img").hidden = card.find(".regions").hidden = !there;
  card.pictured = there && !card.several;  // from now on the result shown is that of the picture
}

poll("api/v1/status", STATUS_MS, showStatus);
poll("api/v1/history", HISTORY_MS, showHistory);
