// One picture of the grid.

import { Trouble } from "/client.js";
import { button, element } from "/dom.js";
import { look } from "/look.js";
import { paintMark } from "/marks.js";
import { linkOf, named } from "/named.js";
import { from, question } from "/question.js";
import { refinements } from "/refine.js";
import { client } from "/server.js";
import { shown } from "/shown.js";

const LOOK = "M1.5 8s2.5-4.5 6.5-4.5S14.5 8 14.5 8s-2.5 4.5-6.5 4.5S1.5 8 1.5 8zM8 6.2a1.8 1.8 0 1 0 .01 0";
const SEARCH = "M7 2.5a4.5 4.5 0 1 0 .01 0M10.5 10.5L14 14";

/** @param need called with the place of a picture that has to be fetched */
export function makeTile(index, need) {
  const item = shown.items[index];
  const tile = element("li", "hit");
  const open = opener(item);
  const frame = element("span", "tile");
  open.append(frame);
  tile.append(open);
  if (!item) {
    open.setAttribute("aria-label", `Picture ${index + 1}, loading`);
    tile.append(element("span", "label"), element("span", "actions")); // as high as one that is known
    need(index);
    return tile;
  }
  const searching = question.now.like.length > 0;
  open.setAttribute("aria-label", describe(item, index, searching));
  const caption = element("span", "label", named(item));
  caption.title = item.id;
  tile.append(caption);
  if (searching) tile.append(scoreLine(item, index));
  tile.append(actions(item));
  if (searching) {
    tile.append(rest(item));
    paintMark(tile, item);
  }
  loadPicture(tile, frame, item);
  return tile;
}

/** A link to the product where there is one; else a button that searches from the picture. */
function opener(item) {
  const address = item && linkOf(item);
  const open = element(address ? "a" : "button", "open");
  if (address) Object.assign(open, { href: address, target: "_blank", rel: "noopener noreferrer" });
  else {
    open.type = "button";
    if (item) open.addEventListener("click", () => from(item.id));
  }
  return open;
}

function describe(item, index, searching) {
  const does = linkOf(item) ? "opens its own page in a new tab" : "search from it";
  if (!searching) return `${named(item)}; ${does}`;
  return `${named(item)}, score ${item.score.toFixed(2)}, place ${index + 1}${moved(item, index).words}; ${does}`;
}

async function loadPicture(tile, frame, item) {
  tile.loading = new AbortController();
  try {
    const image = element("img");
    image.alt = "";
    image.decoding = "async";
    image.src = await client.thumbnail(item.id, tile.loading.signal);
    frame.append(image);
  } catch (error) {
    if (error.name === "AbortError") return;
    const lost = element("span", "lost", error instanceof Trouble ? "picture missing" : "no picture");
    lost.title = error.message;
    frame.append(lost);
  }
}

function scoreLine(item, index) {
  const line = element("span", "score");
  const bar = element("span", "meter");
  const full = element("span");
  full.style.width = `${100 * Math.max(0, Math.min(1, item.score))}%`;
  bar.append(full);
  const change = moved(item, index);
  const badge = element("span", `moved ${change.kind}`, change.sign);
  badge.title = change.words.replace(/^, /, "");
  line.append(element("span", "value", item.score.toFixed(2)), bar, badge);
  return line;
}

function moved(item, index) {
  if (!shown.ranks) return { kind: "", sign: "", words: "" };
  const before = shown.ranks.get(item.id);
  if (before === undefined) return { kind: "new", sign: "new", words: ", new with these learners" };
  if (before === index) return { kind: "", sign: "", words: "" };
  const up = before > index;
  return { kind: up ? "up" : "down", sign: `${up ? "↑" : "↓"}${Math.abs(before - index)}`, words: `, was ${before + 1}` };
}

function actions(item) {
  const bar = element("span", "actions");
  bar.append(
    button("look", LOOK, "Details", `Details: ${named(item)}`, () => look(item)),
    button("similar", SEARCH, "Similar", `Similar to it: search from ${named(item)}`, () => from(item.id)),
  );
  return bar;
}

function rest(item) {
  const bar = element("span", "actions refine");
  bar.append(...refinements(item));
  return bar;
}
