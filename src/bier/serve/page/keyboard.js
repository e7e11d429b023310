// Keys that work anywhere on the page.

import { $ } from "/dom.js";
import { look } from "/look.js";
import { go, question } from "/question.js";
import { server } from "/server.js";
import { shown } from "/shown.js";
import { act } from "/tile.js";

export function shortcut(event) {
  const typing = event.target.matches("input:not([type=radio]), select, textarea");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const index = shown.grid.indexOf(event.target);
  const item = index === null ? null : shown.items[index];
  const onPicture = { g: "good", b: "bad", "+": "more", "-": "less" };
  const anywhere = {
    "?": () => $("help").showModal(),
    "/": () => $("label").focus(),
    u: () => $("choose").click(),
    Escape: () => go({ ...question.now, like: [] }),
  };
  if (item && question.now.like.length && event.key in onPicture) act(onPicture[event.key], item);
  else if (item && event.key === "l") look(item);
  else if (event.key in anywhere) anywhere[event.key]();
  else if (/^[0-9]$/.test(event.key) && question.now.like.length && Number(event.key) <= server.info.sizes.length) {
    go({ ...question.now, learners: event.key === "0" ? null : event.key });
  } else return;
  event.preventDefault();
}
