// One event: its picture, its facts, and what may be done with it

let shownEvent = null;

async function openEvent(id) {
  const event = found.get(id) ?? await read(`api/v1/events/${id}`).catch(() => null);
  if (!event) return;
  shownEvent = event;
  const start = Date.parse(event.started_at);
  put($("event-title"), `${event.event} in ${idOf(event)}`);
  const [figure, image] = [$("event").querySelector("figure"), $("event").querySelector("img")];
  figure.hidden = !event.snapshot;
  $("no-picture").hidden = event.snapshot;
  if (event.snapshot) {
    image.src = new URL(`api/v1/events/${event.id}/snapshot.jpg`, HERE);
    image.alt = `picture of ${event.event} in ${idOf(event)}, ${moment(start)}`;
  } else image.removeAttribute("src");
  $("event").querySelector("dl").replaceChildren(...[
    ["Began", `${day(start)}, ${new Date(start).toLocaleTimeString("en-GB")}`],
    ["Ended", event.ended_at === null ? "it still lasts" : `after ${lasting(event).replace("for ", "")}`],
    ["How sure", `${percent(event.peak)} at most`],
    ["Classes", event.classes.join(", ")],
    ["Variant", event.variant ? `${short(event.variant)} in ${event.runtime}` : "–"],
  ].map(([name, text]) => made("div", {}, made("dt", {}, name), made("dd", {}, text))));
  $("corrected").hidden = !event.corrected;
  put($("corrected"), `Corrected to ${event.corrected}.`);
  showFailure(null);
  offerNothing();
  $("event").showModal();
  history.replaceState(null, "", `${location.pathname}${location.search}#${event.id}`);
  try {
    await showChanges(event);
  } catch (error) {
    if (shownEvent === event) showFailure(error);
  }
}

/* Until the device has told what may be done with this event. */
function offerNothing() {
  $("delete").disabled = true;
  $("correct").hidden = $("cannot-correct").hidden = $("barred").hidden = true;
}

/* Correct and delete, as far as this viewer may. */
async function showChanges(event) {
  const [{ barred }, taught] = await Promise.all([
    read("api/v1/device"), read("api/v1/teach").catch(() => ({ classifiers: {} }))]);
  if (shownEvent !== event) return;
  const own = Object.entries(taught.classifiers).filter(([, each]) => each.view === idOf(event));
  const why = barred.control;
  $("delete").disabled = Boolean(why);
  $("barred").hidden = !why;
  put($("barred"), why ? `Reading only: ${why}` : "");
  $("correct").hidden = Boolean(why) || !event.snapshot || !own.length;
  $("cannot-correct").hidden = Boolean(why) || !event.snapshot || own.length > 0;
  $("cannot-correct").replaceChildren("To correct it, ", made("a", { href: `teach?view=${encodeURIComponent(idOf(event))}` }, `teach ${idOf(event)}`), " first.");
  $("right").replaceChildren(...own.flatMap(([name, { classes }]) =>
    [...classes, "none"].map((label) => {
      const option = made("option", { value: label }, own.length > 1 ? `${label} (${name})` : label);
      option.dataset.classifier = name;
      return option;
    })));
}

function showFailure(error) {
  $("failed").hidden = !error;
  put($("failed"), error ? capital(error.message) : "");
}

async function change(act, close) {
  try {
    showFailure(null);
    await act();
    if (close) $("event").close();
    await look();
  } catch (error) {
    showFailure(error);
  }
}

$("correct").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  const [option] = $("right").selectedOptions;
  const { id } = shownEvent;
  change(async () => {
    await send(`api/v1/events/${id}/correct`, { classifier: option.dataset.classifier, label: option.value });
    $("corrected").hidden = false;
    put($("corrected"), `Corrected to ${option.value}.`);
  }, false);
});

$("delete").addEventListener("click", async () => {
  const { id, snapshot } = shownEvent;
  const sure = await confirmed("Delete this event?", snapshot ? "Its picture goes too." : "It cannot be brought back.", "Delete", "Keep");
  if (sure) change(async () => {
    await send(`api/v1/events/${id}/delete`, {});
    found.delete(id);
  }, true);
});

$("event").addEventListener("close", () => {
  const { id } = shownEvent;
  shownEvent = null;
  history.replaceState(null, "", location.pathname + location.search);
  document.querySelector(`#list [data-key="${id}"] button`)?.focus();
});
$("event").addEventListener("click", (event) => { if (event.target === $("event")) $("event").close(); });

if (/^#\d+$/.test(location.hash)) openEvent(Number(location.hash.slice(1)));
