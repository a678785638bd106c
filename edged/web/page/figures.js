// Figures of a view: latency against its budget, frames without a result, what runs

const DROPPED = {
  overwritten: "were replaced by newer ones before they ran",
  stale: "were older than the budget before they could run",
  broken: "could not be decoded",
  temperature: "were left out to stay below max_temperature_c",
  power: "were left out to stay below max_power_w",
};
const SKIPPED = { max_fps: "were above max_fps", quiet: "showed no motion", off: "came while it was off" };
const CHART_HIGH = 150, CHART_LEFT = 40, CHART_BELOW = 20, CHART_ABOVE = 12;

function showFigures(view, about, loading) {
  const { find } = view;
  const kept = about.on_time === null || about.on_time >= about.on_time_target;
  const [mine, wanted] = about.on_time === null ? ["–", percents(about.on_time_target, 0)[0]]
    : percents(about.on_time, about.on_time_target);
  put(find(".sum"), about.on_time === null ? `Budget ${about.budget_ms} ms`
    : `${mine} % on time; ${ms(about.latency_ms.p50)} of ${about.budget_ms} ms`);
  find(".sum").className = `sum ${kept ? "" : "bad"}`.trim();
  if (!kept && !view.wasLate) find(".figures").open = true;
  view.wasLate = !kept;
  put(find(".on-time"), `${mine} % of ${wanted} %`);
  put(find(".p50"), `${ms(about.latency_ms.p50)} ms`);
  put(find(".p95"), `${ms(about.latency_ms.p95)} ms`);
  find(".on-time").className = `on-time ${kept ? "good" : "bad"}`;
  find(".p95").className = `p95 ${about.latency_ms.p95 > about.budget_ms ? "bad" : ""}`.trim();
  const rate = about.fps < 1 ? +about.fps.toPrecision(2) : about.fps.toFixed(about.fps < 10 ? 1 : 0);
  put(find(".fps"), `${rate} a second`);
  put(find(".chart-title"), `Latency against the budget of ${about.budget_ms} ms`);
  const { last } = about;
  put(find(".variant"), last ? last.variant : "");
  const threads = last?.threads > 1 ? ` on ${last.threads} threads` : "";
  put(find(".why"), !last ? (loading ? "loading networks" : "no result yet")
    : view.old ? `last run ${span(last.age_seconds)} ago`
      : `in ${last.runtime}${threads}: ${last.why}`);
  put(find(".dropped"), inFrames(about.frames));
  showWorth(find(".worth"), about);
  find(".figures").hidden = !last && !about.frames.results;
}

/* What the variants are worth before this view, by probes; the best first. */
function showWorth(element, { probes, goal }) {
  const known = Object.entries(probes?.variants ?? {}).filter(([, each]) => each.probes);
  element.hidden = !known.length;
  if (!known.length) return;
  const rows = known.sort(([, one], [, other]) => other.agreement - one.agreement).map(([name, each]) => [
    name.replace("mobilenet_v1_", ""), `${percent(each.agreement)} (${percent(each.low)} to ${percent(each.high)})`,
    each.probes, each.table === null ? "–" : percent(each.table, 1), each.in_use === null ? "–" : percent(each.in_use, 1)]);
  const saved = goal === "power" ? `; the goal power has saved ${span(probes.spared_seconds)} of processor time` : "";
  const hint = `Compared with ${probes.reference.replace("mobilenet_v1_", "")}, in ${span(probes.seconds)} of probes${saved}.`;
  const text = JSON.stringify([rows, hint]);
  if (element.dataset.shown === text) return;
  element.dataset.shown = text;
  const table = made("table", {}, made("thead", {}, row("th", ["variant", "agrees", "probes", "accuracy by the table", "in use"])),
    made("tbody", {}, ...rows.map((each) => row("td", each, true))));
  const title = "What each variant is worth here";
  element.replaceChildren(made("h4", {}, title), scrolled(title, table), made("p", { class: "hint" }, hint));
}

/* What became of the frames since the daemon's start. */
function inFrames({ results, late, dropped }) {
  const lost = Object.keys(DROPPED).filter((each) => dropped[each]);
  const all = results + lost.reduce((sum, each) => sum + dropped[each], 0);
  if (!all) return "";
  const counted = (count) => `${of(count, "frame")} (${percent(count / all, 1)})`;
  const parts = lost.map((each) => `${counted(dropped[each])} ${DROPPED[each]}`);
  const left = Object.keys(SKIPPED).filter((each) => dropped[each])
    .map((each) => `${of(dropped[each], "frame")} ${SKIPPED[each]}`);
  return `Since the start: ${of(results, "result")}, ${late ? of(late, "late one") : "none late"}; `
    + `${parts.length ? `dropped: ${parts.join("; ")}` : "no frame dropped"}.`
    + `${left.length ? ` Not looked at, as configured: ${left.join("; ")}.` : ""}`;
}

function showSeconds(history) {
  for (const [id, rows] of Object.entries(history.cameras)) {
    const view = views.get(id);
    if (!view || !view.find(".figures").open) continue;
    const named = rows.map((row) =>
      Object.fromEntries(history.columns.map((column, at) => [column, row[at]])));
    drawLatency(view.find(".chart"), named, history.seconds, view.budget);
    const late = named.reduce((sum, each) => sum + each.late, 0);
    put(view.find(".late-now"), named.length ? `${late ? of(late, "frame") : "No frame"} too late in the last ${span(history.seconds)}.` : "");
  }
}

function drawLatency(svg, rows, seconds, budget) {
  const wide = svg.clientWidth || 320;
  svg.setAttribute("viewBox", `0 0 ${wide} ${CHART_HIGH}`);
  if (!rows.length) {
    svg.replaceChildren();
    svg.setAttribute("aria-label", "no results yet");
    return;
  }
  const top = Math.max(1.5 * budget, ...rows.map((each) => Math.min(each.p95_ms * 1.1, 4 * budget)));
  const floor = CHART_HIGH - CHART_BELOW;
  const x = (row) => (wide - (wide - CHART_LEFT) * (row.ago / seconds)).toFixed(1);
  const y = (value) => (floor - (floor - CHART_ABOVE) * Math.min(1, value / top)).toFixed(1);
  const shapes = [];
  for (const value of ticks(0, top, 4)) {
    shapes.push(shape("line", { class: "grid", x1: CHART_LEFT, x2: wide, y1: y(value), y2: y(value) }));
    if (Math.abs(y(value) - y(budget)) > 13) shapes.push(written(CHART_LEFT - 5, +y(value) + 4, value ? String(value) : "0 ms", "end"));
  }
  shapes.push(written(CHART_LEFT, CHART_HIGH - 4, `${span(seconds)} ago`, "start"), written(wide, CHART_HIGH - 4, "now", "end"));
  const stretches = [];
  for (const row of rows) {
    const stretch = stretches[stretches.length - 1];
    if (stretch && stretch[stretch.length - 1].ago - row.ago <= 3) stretch.push(row);
    else stretches.push([row]);
  }
  const line = (points, key) => points.map((row) => `${x(row)},${y(row[key])}`).join("L");
  for (const part of stretches.map((each) => each.filter((row) => row.variant))) {
    if (!part.length) continue;
    const [first, last] = [x(part[0]), x(part[part.length - 1])];
    shapes.push(shape("path", { class: "band", d: `M${first},${floor}L${line(part, "p95_ms")}L${last},${floor}Z` }));
    shapes.push(shape("path", { class: "median", d: `M${line(part, "p50_ms")}` }));
  }
  const late = rows.filter((row) => row.late).map((row) => `M${x(row)},2v8`).join("");
  if (late) shapes.push(shape("path", { class: "late", d: late }));
  const edge = rows.map((row, at) => (at ? `H${x(row)}V${y(row.budget_ms || budget)}`
    : `M${CHART_LEFT},${y(row.budget_ms || budget)}`)).join("");
  shapes.push(shape("path", { class: "budget", d: `${edge}H${wide}` }));
  const named = written(CHART_LEFT - 5, +y(budget) + 4, String(budget), "end");
  named.setAttribute("class", "limit");
  shapes.push(named);
  svg.replaceChildren(...shapes);
  const lateSeconds = rows.filter((row) => row.late).length;
  const newest = rows[rows.length - 1];
  svg.setAttribute("aria-label", `Latency in milliseconds. The budget is ${budget}; lately the median was `
    + `${ms(newest.p50_ms)}, 95 % were below ${ms(newest.p95_ms)}; late results in ${lateSeconds} of the last ${of(rows.length, "second")}.`);
}
