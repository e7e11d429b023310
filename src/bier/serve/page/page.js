// The page: examples, learners and filters on one side, the grid of pictures on the other.

import { $, number } from "/dom.js";
import { shortcut } from "/keyboard.js";
import { offerLearners } from "/learners.js";
import { downloadPairs } from "/marks.js";
import { say, trouble } from "/messages.js";
import { fromAddress, go, question, whenAsked } from "/question.js";
import { show } from "/results.js";
import { client, server } from "/server.js";
import { listenForPictures } from "/uploads.js";

function listen() {
  $("clear").addEventListener("click", () => go({ ...question.now, like: [] }));
  $("pairs").addEventListener("click", downloadPairs);
  $("help-open").addEventListener("click", () => $("help").showModal());
  $("top").addEventListener("change", () => show());
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("label").addEventListener("change", () => go({ ...question.now, label: $("label").value.trim() }));
  $("label").addEventListener("search", () => go({ ...question.now, label: $("label").value.trim() }));
  addEventListener("popstate", () => { fromAddress(); show(); });
  addEventListener("keydown", shortcut);
}

async function start() {
  say("Opening …");
  listenForPictures();
  try {
    server.info = await client.get("/api/info");
  } catch (error) {
    trouble(error);
    return;
  }
  document.title = `${server.info.title} · find more like this`;
  $("about").textContent = `${server.info.title} · ${number(server.info.count)} pictures`;
  $("label-field").hidden = !server.info.fields.includes("label");
  $("pairs").hidden = !server.info.marks;
  offerLearners();
  listen();
  fromAddress();
  await show();
}

whenAsked(show);
server.opening = start();
