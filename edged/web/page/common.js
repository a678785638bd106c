"use strict";

const HERE = location.origin + location.pathname;  // without credentials, which fetch refuses
const STALE_MS = 4000;
const MINUTE_MS = 60_000, HOUR_MS = 60 * MINUTE_MS, DAY_MS = 24 * HOUR_MS;

const $ = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Elements. Text from outside becomes text, never markup.

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function made(kind, attributes = {}, ...children) {
  const element = document.createElement(kind);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") element.className = value;
    else if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

function shape(kind, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", kind);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function copyOf(template) {
  return $(template).content.firstElementChild.cloneNode(true);
}

/* The children of `parent` become one for each item. Those that stay are not moved: they may have
   the focus. */
function keyed(parent, items, keyOf, make, update = () => {}) {
  const old = new Map([...parent.children].map((each) => [each.dataset.key, each]));
  const kept = new Set(items.map(keyOf));
  for (const [key, each] of old) if (!kept.has(key)) each.remove();
  let next = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const element = old.get(key) ?? make(item);
    element.dataset.key = key;
    if (element === next) next = next.nextElementSibling;
    else parent.insertBefore(element, next);
    update(element, item);
  }
}

function row(kind, values, headed = false) {
  return made("tr", {}, ...values.map((value, at) => {
    const cell = made(headed && at === 0 ? "th" : kind, {}, String(value));
    if (cell.tagName === "TH") cell.scope = headed ? "row" : "col";
    return cell;
  }));
}

function scrolled(title, content) {
  return made("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": title }, content);
}

/* The command that ends a text is one to copy. */
function say(element, text) {
  if (element.textContent === text) return;
  const [command] = text.match(/(?:sudo )?edged [a-z].*$/) ?? [""];
  element.replaceChildren(text.slice(0, text.length - command.length), ...(command ? [made("code", {}, command)] : []));
}

// Words and times. Times are those of the viewer's zone.

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DATE = new Intl.DateTimeFormat("en-GB", { weekday: "long", day: "numeric", month: "long" });

function of(count, what) {
  return `${count.toLocaleString("en-GB")} ${what}${count === 1 ? "" : "s"}`;
}

function percent(share, digits = 0) {
  return `${(100 * share).toFixed(digits)} %`;
}

/* Both with as many digits as tell them apart, at most two; without the sign. */
function percents(one, other) {
  for (let digits = 0; ; digits++) {
    const [first, second] = [one, other].map((each) => (100 * each).toFixed(digits));
    if (first !== second || digits === 2) return [first, second];
  }
}

function ms(value) {
  if (value === null) return "–";
  return value < 10 ? value.toFixed(1) : value.toFixed(0);
}

function span(seconds) {
  if (seconds < 120) return `${seconds.toFixed(0)} s`;
  if (seconds < 7200) return `${(seconds / 60).toFixed(0)} min`;
  return seconds < 172_800 ? `${(seconds / 3600).toFixed(0)} h` : `${(seconds / 86_400).toFixed(0)} days`;
}

function bytes(count) {
  if (count >= 1e9) return `${(count / 1e9).toFixed(1)} GB`;
  return `${(count / 1e6).toFixed(0)} MB`;
}

function clock(time) {
  return CLOCK.format(time);
}

function midnight(time) {
  return new Date(time).setHours(0, 0, 0, 0);
}

function day(time) {
  const days = Math.round((midnight(Date.now()) - midnight(time)) / DAY_MS);
  return ["Today", "Yesterday"][days] ?? DATE.format(time);
}

/* The time; with its day, unless that is today. */
function moment(time) {
  return midnight(time) === midnight(Date.now()) ? clock(time) : `${day(time)}, ${clock(time)}`;
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function short(variant) {
  return variant.replace("mobilenet_v1_", "").replace("_", "@").replaceAll("_", " ");
}

function idOf({ camera, view }) {
  return view === undefined ? camera : `${camera}/${view}`;
}

// Asking

function visible() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) =>
    document.addEventListener("visibilitychange", resolve, { once: true }));
}

class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function ask(path) {
  const answer = await fetch(new URL(path, HERE), { signal: AbortSignal.timeout(10_000) })
    .catch((error) => { throw new Error(`no answer (${error.message})`); });
  if (!answer.ok) throw new Refused(await reason(answer), answer.status);
  return answer;
}

async function read(path) {
  return (await ask(path)).json();
}

/* What an answer that is none says. */
async function reason(answer) {
  const said = await answer.json().catch(() => null);
  return said?.error ? told(said.error) : `the device answered with status ${answer.status}`;
}

function told({ what, got, fix }) {
  return `${what}${got ? ` (${got})` : ""}${fix ? `. ${fix}` : ""}`;
}

async function send(path, body, type = "application/json") {
  for (let tried = 1; ; tried++) {
    const answer = await fetch(new URL(path, HERE), {
      method: "POST",
      headers: { "Content-Type": type },
      body: type === "application/json" ? JSON.stringify(body) : body,
      keepalive: type === "application/json",
    }).catch((error) => { throw new Error(`no answer (${error.message})`); });
    if (answer.status === 429 && tried < 5) {
      await sleep(1000 * (Number(answer.headers.get("Retry-After")) || 1));
      continue;
    }
    if (answer.ok) return answer.json().catch(() => null);
    throw new Refused(await reason(answer), answer.status);
  }
}

const asked = new Map();  // what is asked again and again → when that worked last

/* Calls `act` while the page is in sight, and says when that has failed for a while. */
async function always(everyMs, act) {
  for (;;) {
    await visible();
    try {
      await act();
      asked.set(act, Date.now());
      showConnection(act, "");
    } catch (error) {
      const last = asked.get(act);
      if (last === undefined) showConnection(act, capital(error.message));
      else if (Date.now() - last > STALE_MS) {
        showConnection(act, `${capital(error.message)}; last update ${span((Date.now() - last) / 1000)} ago`);
      }
    }
    await rest(everyMs);
  }
}

/* Shorter where the page goes out of sight or comes back. */
function rest(ms) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    document.addEventListener("visibilitychange", done);
  });
}

const troubled = new Map();

function showConnection(act, text) {
  if (text) troubled.set(act, text);
  else troubled.delete(act);
  const [first = ""] = troubled.values();
  put($("connection"), first);
  document.body.classList.toggle("stale", first !== "");
}

// Pictures of a camera

/* The camera's picture in a copy of `image`, once it can be drawn, and the answer's headers. */
async function loadPicture(camera, image) {
  const answer = await ask(`api/v1/cameras/${camera}/snapshot.jpg`);
  const loaded = image.cloneNode();
  loaded.hidden = false;
  loaded.src = URL.createObjectURL(await answer.blob());
  try {
    await loaded.decode();
  } catch (error) {
    URL.revokeObjectURL(loaded.src);
    throw error;
  }
  return [loaded, answer.headers];
}

/* In place of the figure's picture before. */
function showPicture(figure, image) {
  const before = figure.querySelector("img");
  figure.style.setProperty("--ratio", image.naturalWidth / image.naturalHeight);
  before.replaceWith(image);
  if (before.src) URL.revokeObjectURL(before.src);
}

// A question

async function confirmed(title, text, yes, no) {
  const dialog = $("question");
  const [keep, go] = dialog.querySelectorAll("button");
  put(dialog.querySelector("h2"), title);
  put(dialog.querySelector("p"), text);
  put(keep, no);
  put(go, yes);
  dialog.showModal();
  // Not its event "close", which may come when the next question is open already.
  return new Promise((resolve) => {
    dialog.oncancel = () => resolve(false);
    dialog.querySelector("form").onsubmit = ({ submitter }) => resolve(submitter.value === "yes");
  });
}
