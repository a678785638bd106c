"use strict";

const STATUS_MS = 1000;
const HISTORY_MS = 3000;
const PICTURE_MS = 300;
const STALE_MS = 4000;
const PICTURE_AGE_SHOWN_SECONDS = 3;
const HERE = location.origin + location.pathname;  // without credentials, which fetch refuses

const WHY = {
  most_accurate: "the most accurate variant",
  budget: "more accurate variants are too slow for the budget",
  frame_age: "the frame arrived late and left less time",
  slowdown: "the device is currently slower than its profile",
  limit: "min_fps or max_temperature_c allows no slower variant",
  picture: "this frame was decoded too small for a larger variant; the next will not be",
  cores: "other cameras need the cores that a larger variant would use",
  hold: "a change would gain too little",
  none_fits: "even the cheapest variant is unlikely to meet the budget",
};

const cards = new Map();
let answered = 0;
let shownMessage = "";

const $ = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function visible() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) =>
    document.addEventListener("visibilitychange", resolve, { once: true }));
}

async function ask(path) {
  const answer = await fetch(new URL(path, HERE), { signal: AbortSignal.timeout(5000) })
    .catch((error) => { throw new Error(`no answer (${error.message})`); });
  if (!answer.ok) throw new Error(`the device answered with status ${answer.status}`);
  return answer;
}

function span(seconds) {
  if (seconds < 120) return `${seconds.toFixed(0)} s`;
  return seconds < 7200 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3600).toFixed(0)} h`;
}

function card(name) {
  if (cards.has(name)) return cards.get(name);
  const article = $("camera").content.firstElementChild.cloneNode(true);
  article.dataset.camera = name;
  article.setAttribute("aria-label", `camera ${name}`);
  put(article.querySelector(".name"), name);
  $("cameras").append(article);
  const made = {
    article, gone: false, delivers: false, pictured: false, old: false, budget: 0,
    find: (selector) => article.querySelector(selector),
  };
  cards.set(name, made);
  watch(name, made);
  return made;
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

function showCamera(name, camera, loading) {
  const made = card(name);
  const { find } = made;
  made.delivers = camera.state === "streaming" && camera.last !== null;
  made.budget = camera.budget_ms;
  const shown = loading && camera.state === "streaming" ? "loading" : camera.state;
  const state = find(".state");
  state.className = `state ${shown}`;
  put(state, shown);
  const error = find(".error");
  error.hidden = !camera.last_error || camera.state === "streaming";
  put(error, camera.last_error || "");
  const percent = camera.on_time === null ? "–" : (100 * camera.on_time).toFixed(1);
  const kept = camera.on_time === null || camera.on_time >= camera.on_time_target;
  figure(find(".on-time"), percent, `% of ${+(100 * camera.on_time_target).toFixed(1)}`, kept ? "good" : "bad");
  figure(find(".p50"), ms(camera.latency_ms.p50), "ms");
  figure(find(".p95"), ms(camera.latency_ms.p95), "ms",
    camera.latency_ms.p95 > camera.budget_ms ? "bad" : "");
  const digits = camera.fps < 10 ? 1 : 0;
  const rate = camera.fps < 1 ? +camera.fps.toPrecision(2) : camera.fps.toFixed(digits);
  figure(find(".fps"), rate, "fps");
  put(find(".chart-title"), `Latency against the budget of ${camera.budget_ms} ms`);
  const last = camera.last;
  if (!last) {  // clear what an earlier daemon may have left
    find(".top").replaceChildren();
    put(find(".variant"), "");
    put(find(".why"), loading ? "loading networks" : "no result yet");
    return;
  }
  const old = last.age_seconds > Math.max(5, 2 / (camera.max_fps || 1));
  made.old = old;
  if (old) showTop(find(".top"), [], "no recent result");
  else if (!made.pictured) showTop(find(".top"), last.top, "no class above min_score");
  put(find(".variant"), last.variant);
  const threads = last.threads > 1 ? ` on ${last.threads} threads` : "";
  put(find(".why"), old
    ? `last run ${span(last.age_seconds)} ago`
    : `${last.runtime}${threads}: ${WHY[last.reason] || last.reason}`);
}

function showStatus(status) {
  for (const [name, camera] of Object.entries(status.cameras)) showCamera(name, camera, status.loading);
  for (const [name, gone] of cards) {
    if (name in status.cameras) continue;
    gone.gone = true;
    gone.article.remove();
    cards.delete(name);
  }
  const { name, classes, count } = status.family;
  const more = count > classes.length ? ", …" : "";
  put($("family").firstElementChild, `${count} classes: ${classes.join(", ")}${more}`);
  $("family").hidden = false;
  const parts = [status.runtimes.join(" and "), name];
  if (status.temperature_c !== null) parts.push(`${status.temperature_c.toFixed(0)} °C`);
  if (status.slowdown >= 1.05) parts.push(`slow-down ${status.slowdown.toFixed(2)}`);
  if (status.engines_building) parts.push(`${status.engines_building} engines to build`);
  put($("device"), parts.join(" · "));
  put($("version"), `version ${status.version}`);
}

function shape(kind, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", kind);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
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
  for (const [name, rows] of Object.entries(history.cameras)) {
    if (!cards.has(name)) continue;
    const named = rows.map((row) =>
      Object.fromEntries(history.columns.map((column, at) => [column, row[at]])));
    const made = card(name);
    draw(made.find(".chart"), named, history.seconds, made.budget);
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

async function watch(name, made) {
  const image = made.find("img");
  const caption = made.find("figcaption");
  image.alt = `picture from camera ${name}`;
  while (!made.gone) {
    await visible();
    let pause = PICTURE_MS;
    try {
      if (!made.delivers) throw new Error("no picture expected");
      const answer = await ask(`api/v1/cameras/${name}/snapshot.jpg`);
      const age = Number(answer.headers.get("Picture-Age-Seconds"));
      const result = JSON.parse(answer.headers.get("Picture-Result"));
      const picture = await answer.blob();
      const before = image.src;
      image.src = URL.createObjectURL(picture);
      await image.decode();
      made.find("figure").style.aspectRatio = image.naturalWidth / image.naturalHeight;
      if (before) URL.revokeObjectURL(before);
      image.hidden = false;
      made.pictured = true;  // from now on the result shown is that of the picture
      if (!made.old) showTop(made.find(".top"), result.top, "no class above min_score");
      put(caption, age > PICTURE_AGE_SHOWN_SECONDS ? `${span(age)} ago` : "");
    } catch (error) {
      image.hidden = true;
      made.pictured = false;
      put(caption, "no picture");
      pause = 1000;
    }
    await sleep(pause);
  }
}

poll("api/v1/status", STATUS_MS, showStatus);
poll("api/v1/history", HISTORY_MS, showHistory);
