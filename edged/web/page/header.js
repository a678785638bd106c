// The header: is all well, what is not, and what to do about it

const STATUS_MS = 1000;
const STATUS_BESIDE_MS = 5000;  // where the verdict is only a line of the header
const MARKS = {
  good: "M5 12.5l4.5 4.5L19 7.5",
  bad: "M12 4v10M12 18v2",
  wait: "M12 6v6l4 2",
};
const ADVICE = {
  away: "edged tries again and again. Is it switched on and plugged in, and is its address right?",
  late: "The budget is too small for this device, or other programs keep it busy.",
  silent: "Look into the device's journal, and restart edged.",
  sink: "Results wait in memory and are sent later; the oldest are dropped when it is full.",
  history: "edged tries again every minute. Until then some of them wait in memory.",
  hot: "Give it air. Above the limit edged computes less, then looks at fewer frames.",
  power: "Other programs and what is plugged in count too. Above the limit edged computes less.",
  starting: "This takes some seconds.",
};
const onOverview = $("headline").tagName === "H1";
let shownStatus = null;
let shownZone = "";

/* Of a trouble: what it says, and where to go or what to do. */
function adviceOf(trouble) {
  if (trouble.kind === "to_teach") {
    const view = idOf(trouble);
    return made("a", { href: `teach?view=${encodeURIComponent(view)}` }, `Teach ${view}`);
  }
  return ADVICE[trouble.kind] ?? "";
}

function showVerdict({ verdict, host, cameras }) {
  const { ok, text, troubles } = verdict;
  const waits = !ok && troubles.every((each) => each.kind === "starting");
  const kind = ok ? "good" : waits ? "wait" : "bad";
  const names = Object.keys(cameras);
  showKind(kind);
  showHeadline(sentence(headlineOf(text, troubles), names));
  put($("host"), host);
  if (onOverview) {
    document.title = `${ok ? "✓" : waits ? "…" : "⚠"} ${host}: ${text}`;
    $("advice").hidden = ok || !adviceOf(troubles[0]);
    if (!ok) renew($("advice"), adviceOf(troubles[0]));
    const rest = troubles.slice(1);
    $("troubles").hidden = !rest.length;
    keyed($("troubles"), rest, keyOfTrouble, () => made("li", {}, made("span"), " ", made("small")), (item, each) => {
      put(item.firstElementChild, `${sentence(each.text, names)}.`);
      // Said once of each kind.
      const first = troubles.find((other) => other.kind === each.kind) === each;
      renew(item.lastElementChild, first || each.kind === "to_teach" ? adviceOf(each) : "");
    });
  } else document.title = `${host}: ${document.querySelector("main h1")?.textContent ?? ""}`;
  const key = [kind, ...troubles.map(keyOfTrouble)].join("\n");
  tell(key, [text, ...troubles.slice(1).map((each) => each.text)].join(". "));
}

function showKind(kind) {
  $("verdict").className = kind;
  $("verdict").querySelector("path").setAttribute("d", MARKS[kind]);
}

/* A screen reader hears what is in trouble, not each figure that changes with it. */
function tell(key, text) {
  if ($("told").dataset.key === key) return;
  $("told").dataset.key = key;
  put($("told"), text);
}

/* Names are written as they are. */
function sentence(text, names) {
  return ["edged ", ...names].some((each) => text.startsWith(each)) ? text : capital(text);
}

/* In place of a verdict that is old. last: when the device told its state. */
function showGone(last, refused) {
  const text = `${shownStatus.host} has ${refused ? "not told its state" : "not answered"} since ${moment(last)}`;
  document.body.classList.add("gone");
  showKind("bad");
  showHeadline(text);
  document.title = `⚠ ${text}`;
  $("advice").hidden = $("troubles").hidden = true;
  tell("gone", text);
}

/* Beside the overview without the details after the colon: it leads there. */
function headlineOf(text, troubles) {
  if (!troubles.length) return text;
  if (onOverview) return troubles[0].text;
  const more = troubles.length > 1 ? ` (and ${troubles.length - 1} more)` : "";
  return `${troubles[0].text.split(": ")[0]}${more}`;
}

/* What is wrong in large letters, the details after its colon in small ones. */
function showHeadline(text) {
  if ($("headline").dataset.text === text) return;
  $("headline").dataset.text = text;
  const [, what, why] = (onOverview && text.match(/^(.*?): (.*)$/s)) || [null, text, ""];
  $("headline").replaceChildren(what, ...(why ? [" ", made("span", { class: "why" }, why)] : []));
}

function keyOfTrouble({ kind, camera, view, sink }) {
  return [kind, camera, view, sink].join(" ");
}

/* Text or an element, unless it is there already. */
function renew(element, content) {
  const text = content.textContent ?? content;
  if (element.textContent !== text) element.replaceChildren(content);
}

/* Times are the viewer's. Those in the device's sentences are its own: tell where they differ. */
function showZone({ time }) {
  const [, sign, hours, minutes] = time.match(/([+-])(\d\d):(\d\d)$/) ?? [null, "+", 0, 0];
  const offset = (sign === "-" ? -1 : 1) * (60 * hours + Number(minutes));
  const skew = Math.round((Date.now() - Date.parse(time)) / MINUTE_MS);
  const parts = [];
  if (offset !== -new Date().getTimezoneOffset()) {
    parts.push(`On the device it is ${time.slice(11, 16)} (UTC${sign}${hours}:${String(minutes).padStart(2, "0")}); `
      + "charts and lists show your time, its sentences its own.");
  }
  if (Math.abs(skew) >= 2) parts.push(`Its clock is ${of(Math.abs(skew), "minute")} ${skew > 0 ? "behind" : "ahead of"} yours.`);
  const text = parts.join(" ");
  if (text === shownZone) return;
  shownZone = text;
  $("zone").hidden = !text;
  put($("zone"), text);
}

function showHeader(now) {
  shownStatus = now;
  document.body.classList.remove("gone");
  showVerdict(now);
  showZone(now);
}

/* gone: called where the device has told its state, and does not any more. */
function followStatus(show = () => {}, gone = () => {}) {
  let last = null;
  const missed = (error) => {
    if (last === null || Date.now() - last < STALE_MS) return;
    showGone(last, error instanceof Refused);
    gone();
  };
  always(onOverview ? STATUS_MS : STATUS_BESIDE_MS, async () => {
    const overdue = setTimeout(missed, STALE_MS);
    try {
      const now = await read("api/v1/status");
      showHeader(now);
      show(now);
      last = Date.now();
    } catch (error) {
      missed(error);
      throw error;
    } finally {
      clearTimeout(overdue);
    }
  });
}
