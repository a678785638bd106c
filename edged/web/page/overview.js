// The overview: a card for each camera, the troubled ones first

const SECONDS_MS = 3000;
const PAST_MS = 30_000;
const OFF_MS = 60_000;  // how long not to ask a daemon that keeps no history
const cameras = new Map();
const views = new Map();  // by id, camera/view or camera
let offAt = 0;

function added(template, parent, label) {
  const element = copyOf(template);
  element.setAttribute("aria-label", label);
  parent.append(element);
  return { element, find: (selector) => element.querySelector(selector) };
}

function cardOf(name, several) {
  if (cameras.has(name) && cameras.get(name).several !== several) forgetCamera(name);
  if (cameras.has(name)) return cameras.get(name);
  const card = added("camera", $("cameras"), `camera ${name}`);
  card.element.dataset.camera = card.element.dataset.key = name;
  card.element.classList.add(several ? "several" : "alone");
  put(card.find(".name"), name);
  Object.assign(card, { name, several, ids: [], gone: false, delivers: false, inSight: false });
  cameras.set(name, card);
  sight.observe(card.element);
  watch(card);
  return card;
}

/* Pictures and the past are asked for only where somebody sees them. */
const sight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const card = cameras.get(target.dataset.camera);
    if (!card || card.element !== target) continue;
    if (isIntersecting && !card.inSight) card.ids.forEach((id) => { views.get(id).pastAt = 0; });
    card.inSight = isIntersecting;
  }
}, { rootMargin: "100px" });

function forgetCamera(name) {
  const card = cameras.get(name);
  sight.unobserve(card.element);
  card.ids.forEach(forgetView);
  card.gone = true;
  card.element.remove();
  cameras.delete(name);
}

function viewOf(id, card, name) {
  if (views.has(id)) return views.get(id);
  const view = added("view", card.find(".views"), name === null ? "" : `view ${name}`);
  if (name === null) view.element.removeAttribute("aria-label");
  else {
    view.element.dataset.view = name;
    for (const heading of view.element.querySelectorAll("h3:not(.view)")) heading.ariaLevel = 4;
    view.find(".view").hidden = false;
    put(view.find(".name"), name);
  }
  const query = `view=${encodeURIComponent(id)}`;
  view.find(".teach").href = `teach?${query}`;
  view.find(".teach").ariaLabel = `teach it your classes: ${id}`;
  view.find(".all-events").href = `events?${query}`;
  view.find(".all-events").ariaLabel = `events of ${id}`;
  view.find(".top").before(view.switch = switchRow({ view: id }));
  view.find(".figures").open = matchMedia("(min-width: 60rem)").matches;
  Object.assign(view, { id, card, budget: 0, old: false, pastAt: 0, palette: new Map(), below: null, about: null, answer: null });
  const strip = view.find(".strip svg");
  strip.addEventListener("pointermove", (event) => pointAt(view, event));
  strip.addEventListener("pointerleave", () => put(view.find(".pointed"), ""));
  views.set(id, view);
  return view;
}

function forgetView(id) {
  views.get(id).element.remove();
  views.delete(id);
}

const STATES = {
  starting: "starting", streaming: "live", stalled: "no pictures", backoff: "away", ended: "played to its end",
  loading: "loading networks",
};

function showCamera(name, camera, loading) {
  const several = "views" in camera;
  const card = cardOf(name, several);
  const { find } = card;
  const own = several
    ? Object.entries(camera.views).map(([view, about]) => [`${name}/${view}`, view, about])
    : [[name, null, camera]];
  const on = own.filter(([, , about]) => about.switch.state === "on");
  card.delivers = camera.state === "streaming" && on.some(([, , about]) => about.last !== null);
  const shown = loading && camera.state === "streaming" ? "loading" : camera.state;
  const away = Boolean(camera.last_error) && camera.state !== "streaming";
  find(".state").className = `state ${on.length ? away ? "backoff" : shown : ""}`.trim();
  put(find(".state"), !on.length ? NOT_ON[own[0][2].switch.state] : away && shown === "starting" ? STATES.backoff : STATES[shown]);
  find(".error").hidden = !away;
  const since = camera.away_since ? `Away since ${moment(Date.parse(camera.away_since))}: ` : "";
  put(find(".error"), away ? `${since}${camera.last_error}` : "");
  const ids = own.map(([id]) => id);
  card.ids.filter((id) => !ids.includes(id)).forEach(forgetView);
  card.ids = ids;
  for (const [id, view, about] of own) {
    const section = viewOf(id, card, view);
    showView(section, about, loading);
    section.find(".top").hidden = away && about.last === null;
  }
  if (several) showRegions(card);
}

function isOld({ last, max_fps }) {
  return last.age_seconds > Math.max(5, 2 / (max_fps || 1));
}

function showView(view, about, loading) {
  const { find } = view;
  view.about = about;
  view.budget = about.budget_ms;
  showSwitch(view.switch, about.switch);
  const off = NOT_ON[about.switch.state];
  view.nothing = about.to_teach ? capital(about.to_teach) : "no class above min_score";
  const last = about.last;
  view.old = last !== null && (off !== undefined || isOld(about));
  if (off) view.answer = null;
  if (!last) {  // clear what an earlier daemon may have left
    view.answer = null;
    showTop(view, [], off ?? (loading ? "loading networks" : "no result yet"));
  } else if (!view.answer) showTop(view, view.old ? [] : last.top, view.old ? off ?? "no recent result" : view.nothing);
  showGiven(view, about);
  showFigures(view, about, loading);
}

function showTop(view, top, none) {
  const list = view.find(".top");
  const text = JSON.stringify([top, none]);
  if (list.dataset.shown === text) return;
  list.dataset.shown = text;
  list.replaceChildren(...top.map(({ label, score }) => {
    const bar = made("div", { class: "bar" });
    bar.style.width = percent(score).replace(" ", "");
    return made("li", {},
      made("div", { class: "line" }, made("bdi", {}, label), made("span", {}, percent(score))),
      made("div", { class: "rail" }, bar));
  }));
  if (!top.length) list.append(made("li", { class: "nothing" }, none));
}

/* What accuracy is given up at present, since when, and why. */
function showGiven(view, { accuracy, last }) {
  const element = view.find(".given");
  const { running, best } = accuracy ?? {};
  const gives = last !== null && !view.old && running != null && best != null && best - running >= 0.001;
  element.hidden = !gives;
  if (!gives) return;
  const [now, most] = percents(running, best);
  const since = view.below === null ? "" : ` since ${moment(view.below)}`;
  const reason = last.reason === "most_accurate"
    ? "more accurate variants have not been measured yet, or failed" : last.why;
  put(element, `${now} % instead of ${most} % accuracy${since}, because ${reason}.`);
}

/* Of the picture that is shown; of a view that did not see it, its last one. */
function verdictOf({ about, answer, old }) {
  const { last, budget_ms } = about;
  if (about.switch.state !== "on") return ["unsure", NOT_ON[about.switch.state]];
  if (!last || (old && !answer)) return ["unsure", "no result"];
  const { top, on_time: onTime } = answer ?? { ...last, on_time: last.latency_ms <= budget_ms };
  if (!onTime) return ["late", `${top[0]?.label ?? "unsure"}, late`];
  return top.length ? ["sure", top[0].label] : ["unsure", "unsure"];
}

function showRegions(card) {
  card.find(".regions").replaceChildren(...card.ids.flatMap((id) => {
    const view = views.get(id);
    const name = id.slice(card.name.length + 1);
    const [left, top, width, height] = (view.about.roi || [0, 0, 1, 1]).map((share) => 100 * share);
    const [kind, text] = verdictOf(view);
    const box = made("div", { class: `region ${kind}` });
    Object.assign(box.style,
      { left: `${left}%`, top: `${top}%`, width: `${width}%`, height: `${height}%` });
    const label = made("span", { class: `label ${kind}`, title: `${name}: ${text}` }, `${name}: ${text}`);
    const right = 100 - left - width;  // a label grows away from the nearer edge
    Object.assign(label.style, left <= right ? { left: `${left}%` } : { right: `${right}%` },
      { top: `${top}%`, maxWidth: `max(${width}%, 5rem)` });
    return [box, label];
  }));
}

function showStatus(now) {
  for (const [name, camera] of Object.entries(now.cameras)) showCamera(name, camera, now.loading);
  for (const name of [...cameras.keys()]) if (!(name in now.cameras)) forgetCamera(name);
  showRules(now.events);
  const troubled = now.verdict.troubles.map((each) => each.camera);
  const grave = (name) => (troubled.includes(name) ? troubled.indexOf(name) : troubled.length);
  const ordered = Object.keys(now.cameras).sort((one, other) => grave(one) - grave(other));
  // Not under somebody's fingers.
  if ($("cameras").contains(document.activeElement)) return;
  keyed($("cameras"), ordered, (name) => name, (name) => cameras.get(name).element);
}

function showNoAnswer() {
  for (const card of cameras.values()) {
    card.delivers = false;
    card.find(".state").className = "state";
    put(card.find(".state"), "no answer");
  }
}

// The past: what was seen in 24 hours, and the last events

async function showPast() {
  if (Date.now() - offAt < OFF_MS) return;
  for (const view of [...views.values()]) {
    if (!view.card.inSight || Date.now() - view.pastAt < PAST_MS) continue;
    view.pastAt = Date.now();
    try {
      await showSeen(view);
      await showLastEvents(view);
      $("past").hidden = true;
    } catch (error) {
      if (error.status !== 404) throw error;
      offAt = Date.now();
      for (const { find } of views.values()) find(".day").hidden = find(".last").hidden = true;
      $("past").hidden = false;
      put($("past"), OFF);
      return;
    }
  }
}

async function showSeen(view) {
  const { rows, since, until } = await seenOf(view.id, Date.now() - DAY_MS, Date.now(), 600);
  view.seen = { rows, since, until };
  view.below = belowSince(rows);
  view.find(".day").hidden = !rows.length;
  if (!rows.length) return;
  drawStrip(view.find(".strip"), view.seen, view.palette, 600);
  const shares = sharesOf(rows);
  showLegend(view.find(".legend"), shares, view.palette);
  view.find(".strip svg").setAttribute("aria-label", `What ${view.id} saw in 24 hours: ${inWords(shares)}. The table has each hour.`);
  const hourly = view.find(".hourly");
  keyed(hourly, ["summary", "table"], (each) => each, () => scrolled(`What ${view.id} saw, hour by hour`, made("table")));
  hourly.lastElementChild.replaceChildren(hourTable(rows));
}

function pointAt(view, event) {
  const { rows, since, until } = view.seen;
  const { left, width } = event.currentTarget.getBoundingClientRect();
  const at = since + ((until - since) * (event.clientX - left)) / width;
  const found = rows.filter((each) => each.at <= at && at < each.at + 600_000);
  put(view.find(".pointed"), `${clock(Math.floor(at / 600_000) * 600_000)}: ${inWords(sharesOf(found))}`);
}

async function showLastEvents(view) {
  const [camera, name] = view.id.split("/");
  const query = new URLSearchParams({ camera, ...(name ? { view: name } : {}), limit: 4 });
  const { events } = await read(`api/v1/events?${query}`);
  view.find(".last").hidden = !events.length;
  keyed(view.find(".thumbs"), events, (each) => String(each.id), (each) => {
    const start = Date.parse(each.started_at);
    const picture = each.snapshot
      ? made("img", { src: new URL(`api/v1/events/${each.id}/snapshot.jpg`, HERE), alt: "", loading: "lazy", width: 160, height: 120 })
      : made("span", { class: "blank" }, "no picture");
    return made("li", {}, made("a", { href: `events?view=${encodeURIComponent(view.id)}#${each.id}` },
      picture, made("bdi", {}, each.event), " ", made("time", { dateTime: each.started_at }, moment(start))));
  });
}

// What is asked

followStatus(showStatus, showNoAnswer);
always(SECONDS_MS, async () => {
  const shown = [...views.values()].filter((view) => view.card.inSight && view.find(".figures").open);
  if (shown.length) showSeconds(await read("api/v1/history"));
});
always(1000, showPast);
