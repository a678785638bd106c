// Live pictures. One answer brings the picture and its result; both change in one step.

const PICTURE_MS = 300;
const PICTURES_A_SECOND = 6;  // of all cameras together
const PICTURE_AGE_SHOWN_SECONDS = 3;

async function watch(card) {
  while (!card.gone) {
    await visible();
    const begun = performance.now();
    let pause = PICTURE_MS;
    if (card.inSight) {
      try {
        await showNext(card);
      } catch (error) {
        showNone(card);
        pause = 1000;
      }
    }
    const shown = [...cameras.values()].filter((each) => each.inSight && each.delivers).length;
    await sleep(Math.max(pause, (1000 * shown) / PICTURES_A_SECOND - (performance.now() - begun)));
  }
}

async function showNext(card) {
  if (!card.delivers) throw new Error("no picture expected");
  const [image, headers] = await loadPicture(card.name, card.find("img"));
  image.alt = `picture from camera ${card.name}`;
  if (card.gone) {
    URL.revokeObjectURL(image.src);
    return;
  }
  showAnswer(card, image, resultsOf(card, headers), Number(headers.get("Picture-Age-Seconds")));
}

/* By view, those that saw this very picture. */
function resultsOf(card, headers) {
  if (card.several) return JSON.parse(headers.get("Picture-Results")) ?? {};
  const result = JSON.parse(headers.get("Picture-Result"));
  return result ? { [card.name]: result } : {};
}

/* In one step, so that nobody sees a picture with another one's result. */
function showAnswer(card, image, results, age) {
  showPicture(card.find("figure"), image);
  card.find(".regions").hidden = !card.several;
  const old = age > PICTURE_AGE_SHOWN_SECONDS ? `${span(age)} ago` : "";
  for (const id of card.ids) {
    const view = views.get(id);
    view.answer = results[id] ?? null;
    if (view.answer) showTop(view, view.answer.top, view.nothing);
  }
  if (card.several) showRegions(card);
  const result = results[card.name];
  if (!result) {
    showCaption(card, [], old);
    return;
  }
  const best = result.top[0];
  showCaption(card, [
    best ? made("bdi", { class: "label" }, best.label) : made("span", { class: "label" }, "unsure"),
    best ? ` ${percent(best.score)}` : "",
    result.on_time ? "" : made("b", { class: "tardy" }, " late"),
  ], old);
}

function showCaption(card, answer, text) {
  card.find("figcaption").replaceChildren(
    ...(answer.length ? [made("span", { class: "answer" }, ...answer)] : []),
    ...(text ? [made("span", { class: "age" }, text)] : []));
}

function showNone(card) {
  card.find("img").hidden = card.find(".regions").hidden = true;
  card.ids.forEach((id) => { views.get(id).answer = null; });
  showCaption(card, [], "no picture");
}
