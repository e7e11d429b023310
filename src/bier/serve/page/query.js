// The examples that are searched from, and the controls that fit them.

import { $, element, stroke } from "/dom.js";
import { go, question, uploads } from "/question.js";
import { client, server } from "/server.js";

export function showQuery() {
  const searching = question.now.like.length > 0;
  const list = $("examples");
  list.replaceChildren(...question.now.like.map((one) => example(one, "like")), ...question.now.unlike.map((one) => example(one, "unlike")));
  list.hidden = !searching;
  $("drop").classList.toggle("searching", searching);
  $("invitation").textContent = searching
    ? "Click a result to search on from there; drop or paste another picture to start anew."
    : "Drop a picture anywhere, paste one, or start from one below.";
  $("add").hidden = $("clear").hidden = !searching;
  $("learners-choice").hidden = !searching || server.info.sizes.length < 2;
  $("top-field").hidden = !searching;
  if ($("label") !== document.activeElement) $("label").value = question.now.label;
  for (const radio of $("learners").querySelectorAll("input")) radio.checked = radio.value === (question.now.learners ?? "");
}

function example(one, kind) {
  const item = element("li", `example ${kind}`);
  const upload = one.sha256 && uploads.get(one.sha256);
  const name = upload ? upload.name || "your picture" : one.id;
  const frame = element("span", "tile");
  const image = element("img");
  image.alt = "";
  image.addEventListener("error", () => image.replaceWith(element("span", "lost", "no preview")));
  if (upload) image.src = upload.url;
  else client.thumbnail(one.id).then((url) => { image.src = url; }, () => image.replaceWith(element("span", "lost", "missing")));
  frame.append(image);
  const away = element("button", "away-with");
  away.type = "button";
  away.setAttribute("aria-label", `Take away ${name}`);
  away.append(stroke("M4 4l8 8M12 4l-8 8"));
  away.addEventListener("click", () => go({
    ...question.now, like: question.now.like.filter((other) => other !== one), unlike: question.now.unlike.filter((other) => other !== one),
  }));
  const caption = element("span", "what", kind === "like" ? "like" : "less like");
  caption.append(element("span", "unseen", ` ${name}`));
  item.title = name;
  item.append(frame, away, caption);
  return item;
}
