// Switches of views and event rules: what they say, and buttons where the viewer may use them

const SWITCHES_MS = 30_000;
const SNOOZE_MINUTES = 60;
const NOT_ON = { off: "off", snoozed: "snoozed", hours: "outside its hours" };
let maySwitch = false;

/* Nothing of what is on and was never switched. */
function switchWords({ state, until, changed_at: changedAt, origin }) {
  if (state === "hours") return "Outside its hours.";
  if (origin === null) return "";
  const what = state === "snoozed" ? `Snoozed until ${moment(Date.parse(until))}` : `Switched ${state}`;
  return `${what}: ${origin}, ${moment(Date.parse(changedAt))}.`;
}

/* target: { view: ID } or { event: NAME } */
function switchRow(target) {
  const [kind, name] = Object.entries(target)[0];
  const row = copyOf("switch");
  const [turn, snooze] = row.querySelectorAll("button");
  const change = async (body) => {
    const failed = row.querySelector(".error");
    try {
      const answer = await send("api/v1/switches", { ...target, ...body });
      failed.hidden = true;
      showSwitch(row, answer[`${kind}s`][name]);
    } catch (error) {
      failed.hidden = false;
      put(failed, capital(error.message));
    }
  };
  turn.addEventListener("click", () => change({ set: turn.value }));
  snooze.addEventListener("click", () => change({ set: "snooze", minutes: SNOOZE_MINUTES }));
  snooze.ariaLabel = `Snooze 1 h: ${name}`;
  row.dataset.name = name;
  return row;
}

function showSwitch(row, about) {
  const on = about.state === "on" || about.state === "hours";
  const [turn, snooze] = row.querySelectorAll("button");
  put(row.querySelector(".switched"), switchWords(about));
  row.classList.toggle("not-on", about.state !== "on");
  turn.value = on ? "off" : "on";
  put(turn, `Switch ${turn.value}`);
  turn.ariaLabel = `${turn.textContent}: ${row.dataset.name}`;
  turn.hidden = snooze.hidden = !maySwitch;
  row.hidden = !maySwitch && !switchWords(about);
}

function showRules(events) {
  const rules = Object.entries(events);
  $("rules").hidden = !rules.length;
  keyed($("rules").querySelector("ul"), rules, ([name]) => name,
    ([name]) => made("li", {}, made("bdi", {}, name), switchRow({ event: name })),
    (item, [, about]) => showSwitch(item.lastElementChild, about.switch));
}

always(SWITCHES_MS, async () => {
  maySwitch = !("control" in (await read("api/v1/device")).barred);
});
