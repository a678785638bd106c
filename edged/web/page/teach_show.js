// Showing classes: hold a button, or add pictures

const HOLD_MS = 1000;
const HOLD_SECONDS = 2.5;  // each call records so long; the next one comes before
const CLICK_SECONDS = 4;
const PICTURE_BYTES = 20_000_000;
const ZIP_BYTES = 200_000_000;
const BATCH_BYTES = 60_000_000;
const KINDS = { jpg: "image/jpeg", jpeg: "image/jpeg", png: "image/png", zip: "application/zip" };
const THUMBNAILS = 6;

const given = new Map();  // moment → label
const discarded = new Map();  // moment → classifier
let held = null;

function showClasses() {
  keyed($("classes"), labelsOf(about), (label) => label, madeClass, (item, label) => {
    const own = about.moments.filter((each) => each.label === label);
    const pictures = own.reduce((sum, each) => sum + each.pictures.length, 0);
    put(item.querySelector(".counts"), `${of(own.length, "moment")}, ${of(pictures, "picture")}`);
    const recording = about.recording;
    const active = held?.label === label || recording?.label === label;
    const button = item.querySelector(".hold");
    button.classList.toggle("active", active);
    put(button, active ? `Recording ${label}: ${of(recording?.pictures ?? 0, "picture")}` : `Hold to show ${label}`);
  });
}

function madeClass(label) {
  const item = copyOf("class");
  put(item.querySelector("h4"), label === "none" ? "none (anything else)" : label);
  const button = item.querySelector(".hold");
  const files = item.querySelector(".files");
  files.setAttribute("aria-label", `Add pictures of ${label}`);
  const said = item.querySelector(".said");
  button.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || button.matches(":disabled")) return; // Chromium tells a disabled button too
    button.setPointerCapture(event.pointerId);
    hold(button, label, said);
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) {
    button.addEventListener(end, () => releaseOf(button));
  }
  button.addEventListener("contextmenu", (event) => event.preventDefault());
  button.addEventListener("keydown", (event) => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    if (!event.repeat) hold(button, label, said);
  });
  button.addEventListener("keyup", (event) => {
    if (event.key === " " || event.key === "Enter") releaseOf(button);
  });
  button.addEventListener("click", (event) => {
    // Of a screen reader, which can neither hold a key nor a pointer.
    if (event.detail === 0 && !held) record(about.name, label, CLICK_SECONDS, null, said);
  });
  files.addEventListener("change", () => {
    upload(about.name, label, [...files.files], item.querySelector(".one").checked, said);
    files.value = "";
  });
  return item;
}

async function record(name, label, seconds, moment, said) {
  try {
    const answer = await post(`${name}/record`, { label, seconds, moment });
    showError(said, null);
    said.hidden = false;
    return answer.moment;
  } catch (error) {
    showError(said, error);
    return null;
  }
}

async function hold(button, label, said) {
  release();
  const own = { button, label, name: about.name, moment: null, said, over: false };
  held = own;
  button.classList.add("active");
  put(button, `Recording ${label}`);
  while (!own.over) {
    const moment = await record(own.name, label, HOLD_SECONDS, own.moment, said);
    if (moment === null) {
      if (held === own) release(); // another button may be held since
      return;
    }
    own.moment = moment;
    if (!own.over) await Promise.race([sleep(HOLD_MS), new Promise((resolve) => { own.stop = resolve; })]);
  }
  // It ends by itself, but a person who let go may already show something else.
  await record(own.name, label, 0.05, own.moment, said);
  await attempt(async () => {});
}

function release() {
  if (held === null) return;
  held.over = true;
  held.stop?.();
  held = null;
  if (about) showClasses();
}

/* Pressing one button takes the focus from another, which held before. */
function releaseOf(button) {
  if (held?.button === button) release();
}

document.addEventListener("visibilitychange", () => { if (document.hidden) release(); });
window.addEventListener("pagehide", release);

function kindOf(file) {
  return KINDS[file.name.split(".").pop().toLowerCase()] ?? file.type;
}

async function upload(name, label, files, oneMoment, said) {
  const rejected = [];
  let added = 0;
  const pictures = [];
  const zips = [];
  for (const file of files) {
    const kind = kindOf(file);
    const most = kind === KINDS.zip ? ZIP_BYTES : PICTURE_BYTES;
    if (!Object.values(KINDS).includes(kind)) rejected.push([file.name, "neither JPEG, PNG nor zip"]);
    else if (file.size > most) rejected.push([file.name, `larger than ${most / 1e6} MB`]);
    else (kind === KINDS.zip ? zips : pictures).push(file);
  }
  try {
    // Together, so that the device can tell which are of one moment.
    const batches = pictures.length === 1 ? [pictures[0]] : await batchesOf(pictures);
    const todo = [...batches, ...zips];
    for (const [at, content] of todo.entries()) {
      said.hidden = false;
      put(said, `Sending ${todo.length > 1 ? `${at + 1} of ${todo.length}` : of(files.length, "file")} …`);
      const query = `class=${encodeURIComponent(label)}&one_moment=${oneMoment}`;
      const kind = content instanceof File ? kindOf(content) : KINDS.zip;
      const answer = await post(`${name}/pictures?${query}`, content, kind);
      added += answer.added;
      rejected.push(...answer.rejected);
    }
    said.hidden = false;
    const not = rejected.slice(0, 5).map(([file, why]) => `${file}: ${why}`);
    const more = rejected.length > 5 ? `; and ${rejected.length - 5} more` : "";
    put(said, `${of(added, "picture")} added.${not.length ? ` Not taken: ${not.join("; ")}${more}` : ""}`);
    await look();
  } catch (error) {
    showError(said, error);
  }
}

async function batchesOf(files) {
  const batches = [];
  let batch = [];
  let bytes = 0;
  for (const file of files) {
    if (bytes + file.size > BATCH_BYTES) {
      batches.push(await zipOf(batch));
      batch = [];
      bytes = 0;
    }
    batch.push(file);
    bytes += file.size;
  }
  if (batch.length) batches.push(await zipOf(batch));
  return batches;
}

const CRC = Uint32Array.from({ length: 256 }, (_, number) => {
  for (let bit = 0; bit < 8; bit++) number = number & 1 ? (number >>> 1) ^ 0xedb88320 : number >>> 1;
  return number;
});

function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) crc = CRC[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

function little(...fields) {  // [value, bytes]
  return Uint8Array.from(fields.flatMap(([value, size]) =>
    Array.from({ length: size }, (_, at) => (value >>> (8 * at)) & 255)));
}

/* A zip file of pictures, which are compressed already. */
async function zipOf(files) {
  const parts = [];
  const entries = [];
  let offset = 0;
  for (const [at, file] of files.entries()) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const name = new TextEncoder().encode(`${String(at).padStart(5, "0")}-${file.name.replaceAll(/[\\/]/g, "_")}`);
    const when = new Date(file.lastModified);
    const year = Math.max(1980, when.getFullYear());
    const date = ((year - 1980) << 9) | ((when.getMonth() + 1) << 5) | when.getDate();
    const time = (when.getHours() << 11) | (when.getMinutes() << 5) | (when.getSeconds() >> 1);
    const common = [[20, 2], [0x800, 2], [0, 2], [time, 2], [date, 2], [crc32(bytes), 4], [bytes.length, 4],
      [bytes.length, 4], [name.length, 2], [0, 2]];
    const head = little([0x04034b50, 4], ...common);
    parts.push(head, name, bytes);
    entries.push(little([0x02014b50, 4], [20, 2], ...common, [0, 2], [0, 2], [0, 2], [0, 4], [offset, 4]), name);
    offset += head.length + name.length + bytes.length;
  }
  const size = entries.reduce((sum, each) => sum + each.length, 0);
  const end = little([0x06054b50, 4], [0, 2], [0, 2], [files.length, 2], [files.length, 2], [size, 4], [offset, 4],
    [0, 2]);
  return new Blob([...parts, ...entries, end]);
}

// Moments: those that were seen, and those of each class

function when(unix) {
  return new Date(1000 * unix).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

function thumbnail(picture, alt) {
  return made("img", {
    src: new URL(`${API}/${about.name}/pictures/${picture}.jpg`, HERE), alt, loading: "lazy", width: 80, height: 64,
  });
}

function madeMoment(moment) {
  const item = copyOf("moment");
  item.querySelector("time").dateTime = new Date(1000 * moment.at).toISOString();
  put(item.querySelector("time"), when(moment.at));
  const labels = labelsOf(about).filter((label) => label !== moment.label);
  const what = `the moment of ${when(moment.at)}`;
  item.querySelector(".labels").setAttribute("aria-label", `Label of ${what}`);
  item.querySelector(".labels").append(
    ...labels.map((label) =>
      made("button", { type: "button", onclick: () => relabel(item, moment, label) }, label)),
    made("button", { type: "button", class: "danger", onclick: () => discard(item, moment) }, "Discard"),
  );
  return item;
}

function updateMoment(item, moment) {
  put(item.querySelector(".reason"), moment.reason ?? "");
  const shown = moment.pictures.slice(0, THUMBNAILS);
  const pictures = item.querySelector(".pictures");
  if (pictures.dataset.shown === String(moment.pictures)) return;
  pictures.dataset.shown = String(moment.pictures);
  const rest = moment.pictures.length - shown.length;
  pictures.replaceChildren(
    ...shown.map((picture, at) => thumbnail(picture, `${moment.label ?? "seen"}, picture ${at + 1}`)),
    ...(rest > 0 ? [`and ${rest} more`] : []),
  );
}

/* After an answer the next moment has the focus, so that the keyboard goes on from there. */
function leave(item) {
  const next = item.nextElementSibling ?? item.previousElementSibling;
  const had = item.contains(document.activeElement);
  item.remove();
  if (had) (next?.querySelector("button") ?? $("train")).focus();
}

function relabel(item, moment, label) {
  const name = about.name;
  const give = async (wanted) => {
    given.set(moment.id, wanted);
    await post(`${name}/label`, { moment: moment.id, label: wanted }).catch((error) => {
      given.delete(moment.id);
      throw error;
    });
  };
  leave(item);
  toast(`Labelled ${label}.`, () => give(moment.label));
  attempt(() => give(label));
}

function discard(item, moment) {
  leave(item);
  discarded.set(moment.id, about.name);
  toast("Discarded.", async () => { discarded.delete(moment.id); });
  showSeen();
  showMoments();
}

/* Deletes what nobody can get back any more. */
async function removeDiscarded() {
  await Promise.all([...discarded].map(async ([moment, name]) => {
    await post(`${name}/discard`, { moment }).catch((error) => toast(error.message));
    discarded.delete(moment);
  }));
}

window.addEventListener("pagehide", removeDiscarded);

/* What this page has asked for and the device's answer may not know yet. */
function withGiven(moments) {
  for (const each of moments) {
    if (given.get(each.id) === each.label) given.delete(each.id);
    else if (given.has(each.id)) each.label = given.get(each.id);
  }
  return moments.filter((each) => !discarded.has(each.id));
}

function present(moments) {
  return moments.filter((each) => !discarded.has(each.id)).reverse();
}

function showSeen() {
  const seen = present(about.moments.filter((each) => each.label === null));
  $("seen").hidden = !seen.length;
  put($("seen-title"), `Seen (${seen.length})`);
  keyed($("seen").querySelector("ul"), seen.slice(0, 12), (each) => each.id, madeMoment, updateMoment);
}

function showMoments() {
  const labels = labelsOf(about).filter((label) => about.moments.some((each) => each.label === label));
  keyed($("moments"), labels, (label) => label, madeGroup, (group, label) => {
    const own = present(about.moments.filter((each) => each.label === label));
    put(group.querySelector("summary"), `${label}: ${of(own.length, "moment")}`);
    const shown = group.open ? own.slice(0, group.all ? own.length : 12) : [];
    keyed(group.querySelector("ul"), shown, (each) => each.id, madeMoment, updateMoment);
    group.querySelector(".more").hidden = !group.open || shown.length === own.length;
  });
}

function madeGroup() {
  const more = made("button", { type: "button", class: "more" }, "Show all");
  const group = made("details", {}, made("summary"), made("ul", { class: "moments" }), more);
  more.addEventListener("click", () => { group.all = true; showMoments(); });
  group.addEventListener("toggle", () => showMoments());
  return group;
}
