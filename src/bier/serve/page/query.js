// The examples that are searched from, and the controls that fit them.

import { $, button, element } from "/dom.js";
import { exampleName } from "/named.js";
import { choosePart, partPicture } from "/part.js";
import { go, question, uploads } from "/question.js";
import { client, server } from "/server.js";

const PART = "M4 1v11h11M1 4h11v11";
const CROSS = "M4 4l8 8M12 4l-8 8";
const SIDE = 160; // pixels of a part's small picture

export function showQuery() {
  const { like, unlike, learners } = question.now;
  const searching = like.length > 0;
  const list = $("examples");
  list.replaceChildren(...like.map((one) => example(one, "like")), ...unlike.map((one) => example(one, "unlike")));
  list.hidden = !searching;
  document.body.classList.toggle("searching", searching);
  $("invitation").hidden = searching;
  $("keeping").hidden = !(server.info?.keeps_uploads && like.some((one) => one.sha256));
  $("add").hidden = $("clear").hidden = !searching;
  $("advanced").hidden = !searching;
  for (const radio of $("learners").querySelectorAll("input")) radio.checked = radio.value === (learners ?? "");
}

function example(one, kind) {
  const item = element("li", `example ${kind}`);
  const name = exampleName(one);
  const frame = element("span", "tile");
  const part = button("button part", PART, one.box ? "Other part" : "Choose part", `Choose part of ${name}`, () => choosePart(one));
  const away = button("button away-with", CROSS, "Remove", `Remove ${name}`, () => go({
    ...question.now,
    like: question.now.like.filter((other) => other !== one), unlike: question.now.unlike.filter((other) => other !== one),
  }));
  const what = element("span", kind === "like" ? "unseen" : "what", kind === "like" ? `like ${name}` : "less like");
  const buttons = element("span", "example-buttons");
  buttons.append(part, away);
  item.title = name;
  item.append(frame, what, buttons);
  paint(one, frame, part);
  return item;
}

async function paint(one, frame, part) {
  try {
    frame.append(one.box ? await partPicture(one, SIDE) : await small(one));
  } catch {
    frame.append(element("span", "lost", one.sha256 ? "no preview" : "missing"));
    part.hidden = true; // what cannot be seen cannot be drawn on
  }
}

async function small(one) {
  const image = element("img");
  image.alt = "";
  image.src = one.sha256 ? uploads.get(one.sha256).url : await client.thumbnail(one.id);
  await image.decode();
  return image;
}
