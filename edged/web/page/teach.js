const ABOUT_MS = 1000;
const OVERVIEW_MS = 4000;
const PICTURE_MS = 300;
const TOAST_MS = 15000;
const API = "api/v1/teach";

let overview = null;
let about = null;
let chosen = null;  // the classifier's name; "" for a new one
const undos = [];
let toastTimer = 0;

function post(path, body, type) {
  return send(`${API}/${path}`, body, type);
}

function showError(element, error) {
  element.hidden = !error;
  say(element, error ? error.message : "");
}

async function attempt(act) {
  try {
    await act();
    await look();
  } catch (error) {
    toast(error.message);
  }
}

function toast(text, undo) {
  if (undo) undos.push([text, undo]);
  put($("toast").querySelector("span"), text);
  $("toast").querySelector("button").hidden = !undo;
  $("toast").hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(closeToast, TOAST_MS);
}

function closeToast() {
  undos.length = 0;
  $("toast").hidden = true;
  removeDiscarded();
}

$("toast").querySelector("button").addEventListener("click", () => {
  const [, undo] = undos.pop();
  const before = undos.pop();
  if (before) toast(...before);
  else $("toast").hidden = true;
  attempt(undo);
});

/* What pictures may be labelled. */
function labelsOf({ classes, labels }) {
  return labels ?? classes;
}

// Which classifier, and the new one

const BEGIN = "+"; // no name of a classifier

function choose() {
  const hash = location.hash.slice(1);
  const known = Object.keys(overview.classifiers);
  const wanted = new URLSearchParams(location.search).get("view");
  if (hash && known.includes(hash)) return hash;
  if (hash === BEGIN || !known.length) return "";
  if (!wanted) return known[0];
  return known.find((name) => overview.classifiers[name].view === wanted) ?? "";
}

function showOverview() {
  const links = [...Object.keys(overview.classifiers), ""];
  keyed($("classifiers"), links, (name) => name || "+", () => made("li", {}, made("a")), (item, name) => {
    const link = item.firstElementChild;
    link.href = `#${name || BEGIN}`;
    put(link, name || "new …");
    if (name === chosen) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  });
  const { backbone } = overview;
  $("notice").hidden = overview.may_change;
  put($("notice"), overview.may_change ? "" : `Reading only: ${overview.why_not}`);
  $("warning").hidden = !backbone.warning;
  say($("warning"), backbone.warning ?? "");
  for (const each of document.querySelectorAll(".changes")) each.disabled = !overview.may_change;
  $("begin").hidden = chosen !== "";
  $("classifier").hidden = chosen === "" || about === null;
  const views = $("new-view");
  if ([...views.options].map((each) => each.value).join() === overview.views.join()) return;
  views.replaceChildren(...overview.views.map((view) => made("option", { value: view }, view)));
  const wanted = new URLSearchParams(location.search).get("view");
  if (overview.views.includes(wanted)) views.value = wanted;
}

$("begin").querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = $("new-name").value.trim();
  const classes = $("new-classes").value.split(",").map((each) => each.trim()).filter(Boolean);
  const error = $("begin").querySelector(".error");
  try {
    await post(encodeURIComponent(name), { view: $("new-view").value, classes });
    event.target.reset();
    showError(error, null);
    location.hash = name;
    await look();
  } catch (failure) {
    showError(error, failure);
  }
});

// What is asked again and again

async function look() {
  overview = await read(API);
  showHeader(await read("api/v1/status"));
  const now = choose();
  if (now !== chosen) about = null;
  chosen = now;
  if (chosen) await lookAt(chosen);
  showOverview();
}

async function lookAt(name) {
  const found = await read(`${API}/${name}`);
  if (name !== chosen) return;
  about = { ...found, moments: withGiven(found.moments) };
  $("classifier").hidden = false;
  showClassifier();
  showClasses();
  showSeen();
  showMoments();
  showLearned();
}

function showClassifier() {
  const { deployed } = about;
  document.title = `edged: teach ${about.name}`;
  put($("title"), about.name);
  $("state").classList.toggle("streaming", Boolean(deployed?.runs));
  put($("state"), deployed ? (deployed.runs ? `version ${deployed.version} runs` : "does not run") : "not in use");
  put($("where"), `for ${about.view}`);
  say($("runs"), deployed?.overruled ?? "");
  $("export").href = new URL(`${API}/${about.name}/export.zip`, HERE);
  const { answer } = about;
  $("answer").replaceChildren(...(answer ? [
    "It sees ",
    made("b", {}, answer.label),
    answer.score === null ? ", by what was shown so far" : ` (${(100 * answer.score).toFixed(0)}\u00a0%)`,
  ] : [about.classes.every((label) => about.moments.some((each) => each.label === label))
    ? "No answer yet: the view may run another model until a version is deployed."
    : "Show two classes, and it begins to answer."]));
}

// The live picture of a view, with the region that is taught

async function watch(holder, viewOf) {
  const figure = holder.querySelector("figure");
  const [caption, regions, region] = ["figcaption", ".regions", ".region"].map((each) => figure.querySelector(each));
  for (;;) {
    await visible();
    const view = holder.offsetParent === null ? null : viewOf();
    if (!view) {
      await sleep(PICTURE_MS);
      continue;
    }
    const [camera, name] = view.split("/");
    const roi = shownStatus?.cameras[camera]?.views?.[name]?.roi ?? [0, 0, 1, 1];
    let pause = PICTURE_MS;
    try {
      const [image] = await loadPicture(camera, figure.querySelector("img"));
      image.alt = `picture from camera ${camera}, with the region of ${view}`;
      showPicture(figure, image);
      const [left, top, width, height] = roi.map((share) => `${100 * share}%`);
      Object.assign(region.style, { left, top, width, height });
      regions.hidden = false;
      put(caption, "");
    } catch (error) {
      figure.querySelector("img").hidden = regions.hidden = true;
      put(caption, "no picture");
      pause = 1000;
    }
    await sleep(pause);
  }
}
