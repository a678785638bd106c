// Plots with numbers on their axes

const WIDE = 340, HIGH = 210, LEFT = 44, BOTTOM = 34, ABOVE = 10, RIGHT = 12;

function written(x, y, text, anchor = "middle") {
  return shape("text", { x, y, "text-anchor": anchor }, text);
}

function ticks(low, high, most = 5) {
  const raw = (high - low) / most || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((each) => each * power >= raw);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + 1e-9 * step; at += step) found.push(+at.toFixed(6));
  return found;
}

/* Axes for x from 0 and for shares from `low` to `high`; what turns values into places. */
function axes(most, low, xTitle, yTitle, { whole = false, high = 1 } = {}) {
  const x = (value) => LEFT + ((WIDE - LEFT - RIGHT) * value) / most;
  const y = (value) => ABOVE + ((HIGH - ABOVE - BOTTOM) * (high - value)) / (high - low);
  const shapes = [];
  for (const value of ticks(low, high, 4)) {
    shapes.push(shape("line", { class: "grid", x1: LEFT, x2: WIDE - RIGHT, y1: y(value), y2: y(value) }));
    shapes.push(written(LEFT - 5, y(value) + 4, (100 * value).toFixed(0), "end"));
  }
  for (const value of ticks(0, most).filter((each) => !whole || Number.isInteger(each))) {
    shapes.push(written(x(value), HIGH - BOTTOM + 14, String(value)));
  }
  shapes.push(written((LEFT + WIDE - RIGHT) / 2, HIGH - 4, xTitle));
  const side = written(0, 0, yTitle);
  side.setAttribute("transform", `translate(11 ${(HIGH - BOTTOM) / 2}) rotate(-90)`);
  shapes.push(side);
  return { x, y, shapes };
}

function lowest(values) {
  return Math.max(0, Math.floor(10 * Math.min(...values, 0.9)) / 10);
}

function plot(description, ...shapes) {
  return shape("svg", { class: "plot", viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": description }, ...shapes);
}
