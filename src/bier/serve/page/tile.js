// One picture of the grid.

import { Trouble } from "/client.js";
import { element, stroke } from "/dom.js";
import { mark, paintMark } from "/marks.js";
import { from, go, question, without } from "/question.js";
import { client, server } from "/server.js";
import { shown } from "/shown.js";
import { named } from "/named.js";

export function makeTile(index, need) {
  const item = shown.items[index];
  const tile = element("li", "hit");
  const open = element("button", "open");
  open.type = "button";
  const frame = element("span", "tile");
  open.append(frame);
  tile.append(open);
  if (!item) {
    open.setAttribute("aria-label", `Picture ${index + 1}, loading`);
    tile.append(element("span", "label"));
    need(index);
    return tile;
  }
  const searching = question.now.like.length > 0;
  open.setAttribute("aria-label", describe(item, index, searching));
  open.addEventListener("click", () => from(item.id));
  const caption = element("span", "label", named(item));
  caption.title = item.id;
  tile.append(caption);
  if (searching) {
    tile.append(scoreLine(item, index), actions(item));
    paintMark(tile, item);
  }
  loadPicture(tile, frame, item);
  return tile;
}

function describe(item, index, searching) {
  if (!searching) return `${named(item)}; search from it`;
  return `${named(item)}, score ${item.score.toFixed(2)}, place ${index + 1}${moved(item, index).words}`;
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
  const bar = element("span", "bar");
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

const ACTIONS = [
  ["good", "Good result", "g", "M3 8.5l3.5 3.5L13 4.5"],
  ["bad", "Bad result", "b", "M4 4l8 8M12 4l-8 8"],
  ["more", "More like this, too", "+", "M8 3v10M3 8h10"],
  ["less", "Less like this", "−", "M3 8h10"],
];

function actions(item) {
  const bar = element("span", "actions");
  for (const [kind, text, key, path] of ACTIONS) {
    if (!server.info.marks && (kind === "good" || kind === "bad")) continue;
    const button = element("button", kind);
    button.type = "button";
    button.title = `${text} (${key})`;
    button.setAttribute("aria-label", `${text}: ${named(item)}`);
    button.append(stroke(path));
    button.addEventListener("click", () => act(kind, item));
    bar.append(button);
  }
  return bar;
}

export function act(kind, item) {
  if (kind === "more") go({ ...question.now, like: [...without(question.now.like, item.id), { id: item.id }], unlike: without(question.now.unlike, item.id) });
  else if (kind === "less") go({ ...question.now, unlike: [...without(question.now.unlike, item.id), { id: item.id }], like: without(question.now.like, item.id) });
  else mark(item, kind);
}
