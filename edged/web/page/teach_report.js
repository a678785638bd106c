// What was learned: training, figures, plots, and which version runs

const LEAST_MOMENTS = 3;
const STAGES = { none: "looking at general pictures", features: "looking at your pictures", heads: "learning" };
let shownReport = "";

function showLearned() {
  const { report, training, versions, deployed } = about;
  $("untaught").hidden = versions.length > 0;
  put($("untaught").querySelector("code"), `edged teach ${about.name} train`);
  const trains = Boolean(training && "of" in training && !("version" in training) && !training.error);
  const lacking = about.classes.filter((label) =>
    !about.moments.some((each) => each.label === label && each.pictures.length));
  const few = about.classes.filter((label) =>
    about.moments.filter((each) => each.label === label).length < LEAST_MOMENTS);
  $("train").disabled = trains || lacking.length > 0;
  put($("train"), versions.length ? "Train again" : "Train");
  put($("train-hint"), hintOf(lacking, few, trains));
  $("training").hidden = !trains;
  if (trains) {
    $("progress").max = training.of || 1;
    $("progress").value = training.done;
    put($("training").querySelector("label"), 
      training.waiting || `Training: ${STAGES[training.stage] ?? "it begins"}${
        training.of ? `, ${training.done} of ${training.of}` : ""}`);
  }
  showError($("train-error"), training?.error ? new Error(training.error) : null);
  $("report").hidden = !report;
  if (!report) {
    shownReport = "";
    return;
  }
  // Made anew only where something has changed: text in it may be selected, or have the focus.
  const key = JSON.stringify([about.name, report.version, report.trained_at, deployed, versions, about.latency_ms]);
  if (key === shownReport) return;
  shownReport = key;
  $("report").replaceChildren(...parts(report));
}

function hintOf(lacking, few, trains) {
  if (trains) return "";
  if (lacking.length) return `Show it first: ${lacking.join(", ")}.`;
  if (few.length) return `Fewer than ${LEAST_MOMENTS} moments of ${few.join(", ")}: its figures will be rough.`;
  return "";
}

function parts(report) {
  const { estimate } = report;
  const judged = estimate.judged && Object.keys(estimate.variants).length > 0;
  return [
    made("p", { class: "estimate" }, estimateInWords(estimate)),
    ...report.warnings.map((text) => said("p", text, "notice")),
    made("p", { class: "hint" }, `Version ${report.version}, taught on ${report.classes.map((label) =>
      `${of(report.pictures[label] ?? 0, "picture")} of ${label}`).join(", ")}.`),
    ...leftOut(report.left_out),
    ...versionsOf(report),
    ...list("What to add next", report.advice),
    ...(judged ? [
      ...accuracyAgainstLatency(estimate.variants),
      ...learningCurve(report.curve),
      ...confusion(report.confusion),
      ...worstPictures(report.worst),
      ...thresholds(report.thresholds),
    ] : []),
  ];
}

function said(kind, text, className = "") {
  const element = made(kind, { class: className });
  say(element, text);
  return element;
}

function heading(text) {
  return made("h3", { class: "part" }, text);
}

function list(title, lines) {
  return lines.length ? [heading(title), made("ul", {}, ...lines.map((line) => said("li", line)))] : [];
}

function share(value) {
  return (100 * value).toFixed(0);
}

function best(variants) {
  return Object.values(variants).reduce((one, other) => (other.top1 > one.top1 ? other : one));
}

function estimateInWords({ judged, rough, moments, variants }) {
  if (!judged || !Object.keys(variants).length) {
    return "It cannot be judged yet: a class has only one moment. Show each class at least "
      + `${LEAST_MOMENTS} times, at different times.`;
  }
  const { top1, low, high } = best(variants);
  const text = `It knows the right answer in about ${share(top1)} of 100, between ${share(low)} and `
    + `${share(high)}; judged on ${of(moments, "moment")}.`;
  return rough ? `${text} This is rough: a class has only two moments.` : text;
}

function leftOut(pictures) {
  if (!pictures.length) return [];
  const lines = pictures.map(({ picture, reason }) => made("li", {}, thumbnail(picture, "left out"), made("span", {}, reason)));
  return [heading("Left out"), made("ul", { class: "worst" }, ...lines)];
}

// Plots. Numbers are on the axes, and in the table below.

function plotted(title, description, ...shapes) {
  return [heading(title), plot(description, ...shapes)];
}

function accuracyAgainstLatency(variants) {
  const names = Object.keys(variants).sort((one, other) =>
    (about.latency_ms[one] ?? Infinity) - (about.latency_ms[other] ?? Infinity) || variants[one].top1 - variants[other].top1);
  const measured = names.filter((name) => name in about.latency_ms);
  const table = made("details", {}, made("summary", {}, "As a table"), scrolled("Variants", made("table", {},
    made("thead", {}, row("th", ["variant", "right of 100", "between", "ms"])),
    made("tbody", {}, ...names.map((name) => {
      const { top1, low, high } = variants[name];
      return row("td", [short(name), share(top1), `${share(low)} and ${share(high)}`, about.latency_ms[name] ?? "–"], true);
    })))));
  if (measured.length < 2) {
    return [heading("Accuracy of each variant"),
      made("p", { class: "hint" }, "Times are not measured yet: deploy it, and the device measures its variants."), table];
  }
  const most = 1.08 * Math.max(...measured.map((name) => about.latency_ms[name]));
  const { x, y, shapes } = axes(most, lowest(measured.map((name) => variants[name].low)), "milliseconds an inference", "right of 100");
  for (const name of measured) {
    const { top1, low, high } = variants[name];
    const at = x(about.latency_ms[name]);
    shapes.push(shape("line", { class: "whisker", x1: at, x2: at, y1: y(low), y2: y(high) }));
  }
  for (const name of measured) {
    const dot = shape("circle", { cx: x(about.latency_ms[name]), cy: y(variants[name].top1), r: 4 });
    dot.append(shape("title", {}));
    dot.firstChild.textContent = `${short(name)}: ${share(variants[name].top1)} of 100 in ${about.latency_ms[name]} ms`;
    shapes.push(dot);
  }
  const [first, last] = [measured[0], measured[measured.length - 1]];
  const text = [first, last].map((name) =>
    `${short(name)}: ${share(variants[name].top1)} of 100 in ${about.latency_ms[name]} ms`).join("; ");
  return [...plotted("Accuracy against latency", `Accuracy against latency of ${of(measured.length, "variant")}: ${text}`,
    ...shapes), made("p", { class: "hint" }, `A point is a variant, its line the interval. ${text}.`), table];
}

function learningCurve(points) {
  if (points.length < 2) return [];
  const most = points[points.length - 1].moments;
  const { x, y, shapes } = axes(most, lowest(points.map((each) => each.top1)), "moments", "right of 100", { whole: true });
  shapes.push(shape("path", { class: "curve", d: `M${points.map((each) => `${x(each.moments)},${y(each.top1)}`).join("L")}` }));
  for (const each of points) shapes.push(shape("circle", { cx: x(each.moments), cy: y(each.top1), r: 3 }));
  const steps = points.map((each) => `${share(each.top1)} of 100 with ${each.moments}`).join(", ");
  return [...plotted("What more moments brought", `Accuracy by moments: ${steps}`, ...shapes),
    made("p", { class: "hint" }, "While it still rises, more moments help.")];
}

function confusion(found) {
  if (!found || !found.counts.length) return [];
  const { labels, counts } = found;
  const body = counts.map((said, index) => {
    const line = row("td", [labels[index], ...said.map((count) => +count.toFixed(1))], true);
    const all = said.reduce((sum, count) => sum + count, 0) || 1;
    [...line.children].slice(1).forEach((cell, at) => {
      cell.style.background = `color-mix(in srgb, var(--band) ${share(said[at] / all)}%, transparent)`;
    });
    return line;
  });
  return [heading("Confusions"), scrolled("Confusions", made("table", {},
    made("caption", {}, "pictures of each row that were taken for each column"),
    made("thead", {}, row("th", ["", ...labels])), made("tbody", {}, ...body)))];
}

function worstPictures(worst) {
  const items = worst.slice(0, 8).flatMap(({ picture, label, said, score }) => {
    const moment = about.moments.find((each) => each.pictures.includes(picture));
    if (!moment) return [];
    const item = made("li", {}, thumbnail(picture, `taught as ${label}, taken for ${said}`),
      made("span", {}, `${label}, taken for ${said} (${share(score)}\u00a0%)`));
    if (labelsOf(about).includes(said) && said !== moment.label) {
      item.append(made("button", { type: "button", class: "changes", disabled: !overview.may_change,
        onclick: () => relabel(item, moment, said) }, `It is ${said}`));
    }
    item.append(made("button", { type: "button", class: "changes danger", disabled: !overview.may_change,
      onclick: () => discard(item, moment) }, "Discard"));
    return [item];
  });
  return items.length ? [heading("Worst pictures"),
    made("p", { class: "hint" }, "A button changes the whole moment of the picture."),
    made("ul", { class: "worst" }, ...items)] : [];
}

function thresholds(found) {
  const labels = Object.keys(found);
  if (!labels.length) return [];
  const text = (value) => (/^[A-Za-z][A-Za-z0-9_ ]*$/.test(value) && !/^(true|false|null|yes|no|on|off)$/i.test(value)
    ? value : JSON.stringify(value));
  const name = (label) => `${about.name}_${label}`.toLowerCase().replaceAll(/[^a-z0-9_-]/g, "_").slice(0, 32);
  const lines = labels.map((label) =>
    `  ${name(label)}: {class: ${text(label)}, cameras: [${about.view}], above: ${+found[label].above.toFixed(3)}}`);
  const yaml = ["events:", ...lines].join("\n");
  const code = made("code", {}, yaml);
  const copied = made("span", { class: "hint" });
  copied.setAttribute("role", "status");
  const button = made("button", { type: "button", onclick: () => copy(code, yaml, copied) }, "Copy");
  const starts = labels.map((label) => `${label} ${found[label].false_starts_per_day}`).join(", ");
  return [heading("Suggested thresholds"),
    made("p", { class: "hint" }, `For edged.yaml. Expected false starts a day: ${starts}.`),
    scrolled("Thresholds for edged.yaml", made("pre", {}, code)), made("p", { class: "row" }, button, copied)];
}

async function copy(code, text, said) {
  try {
    await navigator.clipboard.writeText(text);
  } catch (error) {  // only pages with TLS or of this device may write to the clipboard
    getSelection().selectAllChildren(code);
    document.execCommand("copy");
  }
  put(said, "Copied.");
}

// Versions

function versionsOf(report) {
  const { versions, deployed } = about;
  const newest = report.version;
  const runs = deployed?.version ?? null;
  const buttons = [];
  const button = (text, act, kind = "") =>
    made("button", { type: "button", class: `changes ${kind}`, disabled: !overview.may_change, onclick: act }, text);
  if (runs !== newest) buttons.push(button(`Deploy version ${newest}`, () => deploy(newest), "main"));
  if (deployed) buttons.push(button(wayBack(deployed), back));
  const lines = [made("p", { class: "row" }, ...buttons)];
  const compared = deployed?.compared;
  if (compared?.results) {
    const ofOther = compared.name === about.name ? "" : ` of ${compared.name}`;
    lines.push(made("p", { class: "hint" }, `Version ${compared.version}${ofOther} answers beside it: different in `
      + `${compared.differing} of ${of(compared.results, "result")}.`));
  }
  const older = versions.filter((each) => each !== newest && each !== runs);
  if (older.length) {
    lines.push(made("details", {}, made("summary", {}, "Older versions"), made("p", { class: "row" },
      ...older.reverse().map((each) => button(`Deploy version ${each}`, () => deploy(each))))));
  }
  return lines;
}

function deploy(version) {
  const name = about.name;
  attempt(async () => {
    const { worse } = await post(`${name}/deploy`, { version });
    if (!worse) return;
    const { why } = worse;
    const sure = await confirmed("Deploy a worse version?", `${why[0].toUpperCase()}${why.slice(1)}.`, "Deploy anyway",
      "Keep what runs");
    if (sure) await post(`${name}/deploy`, { version, anyway: true });
  });
}

function wayBack({ before, replaced }) {
  if (before !== null) return `Go back to version ${before}`;
  return replaced ? `Go back to version ${replaced.version} of ${replaced.name}` : "Stop using it";
}

function back() {
  const name = about.name;
  attempt(() => post(`${name}/back`, {}));
}

$("train").addEventListener("click", () => attempt(async () => {
  await removeDiscarded();
  await post(`${about.name}/train`, {});
}));

$("forget").addEventListener("click", async () => {
  const name = about.name;
  const pictures = about.moments.reduce((sum, each) => sum + each.pictures.length, 0);
  const sure = await confirmed(`Forget ${name}?`, `Its ${of(pictures, "picture")}, labels and versions are deleted, and `
    + "its view runs its model again. Export it first to keep them.", "Forget", "Keep");
  if (!sure) return;
  chosen = null;  // asks no more for what is about to go
  attempt(async () => {
    await post(`${name}/forget`, {});
    location.hash = "";
  });
});

window.addEventListener("hashchange", () => { shownReport = ""; look().catch((error) => showConnection(look, capital(error.message))); });
watch($("begin"), () => $("new-view").value);
watch($("live"), () => about?.view);
always(OVERVIEW_MS, look);
always(ABOUT_MS, async () => { if (chosen) await lookAt(chosen); });
