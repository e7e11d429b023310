// The page: examples, filters and settings above, the grid of pictures below.

import { $, drawSigns, many } from "/dom.js";
import { filterFields, offerFilters } from "/filter.js";
import { shortcut } from "/keyboard.js";
import { offerLearners } from "/learners.js";
import { listenToLook } from "/look.js";
import { downloadPairs } from "/marks.js";
import { say, trouble } from "/messages.js";
import { listenToPart } from "/part.js";
import { fromAddress, go, question, whenAsked } from "/question.js";
import { show } from "/results.js";
import { client, server } from "/server.js";
import { shown } from "/shown.js";
import { listenForPictures } from "/uploads.js";

function listen() {
  $("clear").addEventListener("click", () => go({ ...question.now, like: [] }));
  $("pairs").addEventListener("click", downloadPairs);
  $("help-open").addEventListener("click", () => $("help").showModal());
  $("top").addEventListener("change", () => show());
  $("expert").addEventListener("change", expert);
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("popstate", () => { fromAddress(filterFields(), server.info.types); show(); });
  addEventListener("keydown", shortcut);
  listenToLook();
  listenToPart();
}

/** Buttons that refine stand on every result, or in its details alone. */
function expert() {
  $("pictures").classList.toggle("expert", $("expert").checked);
  shown.grid.reset(shown.grid.count); // the tiles are of another height now
}

async function start() {
  say("Opening …");
  drawSigns();
  listenForPictures();
  try {
    server.info = await client.get("/api/info");
  } catch (error) {
    trouble(error);
    return;
  }
  const { title, count, marks, sizes } = server.info;
  document.title = `${title} · find more like this`;
  $("about").textContent = `${title} · ${many(count, "picture", "pictures")}`;
  $("pairs").hidden = !marks;
  $("expert-text").textContent = marks ? "Buttons to mark and refine on each result" : "Buttons to refine on each result";
  $("learners-choice").hidden = sizes.length < 2;
  offerLearners();
  offerFilters();
  listen();
  fromAddress(filterFields(), server.info.types);
  await show();
}

whenAsked(show);
server.opening = start();
