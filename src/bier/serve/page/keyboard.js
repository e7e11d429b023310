// Keys that work anywhere on the page.

import { $ } from "/dom.js";
import { look } from "/look.js";
import { choosePart } from "/part.js";
import { from, go, question } from "/question.js";
import { act } from "/refine.js";
import { server } from "/server.js";
import { shown } from "/shown.js";

export function shortcut(event) {
  const typing = event.target.matches("input:not([type=radio]):not([type=checkbox]), select, textarea");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const index = shown.grid.indexOf(event.target);
  const item = index === null ? null : shown.items[index];
  const { like } = question.now;
  const onResult = { g: "good", b: "bad", "+": "more", "-": "less" };
  const onPicture = { l: () => look(item), s: () => from(item.id) };
  const anywhere = {
    "?": () => $("help").showModal(),
    "/": () => $("filter-value").focus(),
    u: () => $("choose").click(),
    p: () => { if (like.length) choosePart(like[0]); },
    Escape: () => go({ ...question.now, like: [] }),
  };
  if (item && like.length && event.key in onResult) act(onResult[event.key], item);
  else if (item && event.key in onPicture) onPicture[event.key]();
  else if (event.key in anywhere) anywhere[event.key]();
  else if (/^[0-9]$/.test(event.key) && like.length && Number(event.key) <= server.info.sizes.length) {
    go({ ...question.now, learners: event.key === "0" ? null : event.key });
  } else return;
  event.preventDefault();
}
