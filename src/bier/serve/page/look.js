// A closer look at one picture: larger, with all that is known of it.

import { edgesOf, place } from "/box.js";
import { $, element, number } from "/dom.js";
import { trouble } from "/messages.js";
import { boxOf, fieldName, linkOf, named, shownValue } from "/named.js";
import { from, question } from "/question.js";
import { refinements } from "/refine.js";
import { client } from "/server.js";

let url = null;
let seen = null;

export async function look(item) {
  $("look-label").textContent = named(item);
  $("look").returnValue = "";
  seen = item;
  $("look-fields").replaceChildren(...fields(item));
  $("look-actions").replaceChildren(...(question.now.like.length ? refinements(item, () => $("look").close()) : []));
  $("look-note").textContent = item.score === undefined ? "" : `score ${item.score.toFixed(2)}`;
  try {
    await picture("960");
    $("look").showModal();
  } catch (error) {
    trouble(error);
  }
}

export function listenToLook() {
  $("look-full").addEventListener("click", async () => {
    const full = $("look-full").getAttribute("aria-pressed") === "false";
    $("look-note").textContent = "Loading …";
    try {
      await picture(full ? "full" : "960");
      $("look-note").textContent = full ? `${number($("look-picture").naturalWidth)} × ${number($("look-picture").naturalHeight)} pixels` : "";
    } catch (error) {
      $("look-note").textContent = `${error.message}`;
    }
  });
  $("look").addEventListener("close", () => {
    URL.revokeObjectURL(url);
    if ($("look").returnValue === "search") from(seen.id);
  });
}

async function picture(side) {
  const full = side === "full";
  const blob = await client.picture(seen.id, side, full);
  URL.revokeObjectURL(url);
  url = URL.createObjectURL(blob);
  $("look-picture").src = url;
  $("look-picture").alt = named(seen);
  await $("look-picture").decode();
  $("look").classList.toggle("full", full);
  $("look-full").setAttribute("aria-pressed", String(full));
  showObject(full ? boxOf(seen) : null);
}

/** Where an object is in its picture, all of which is then in sight. */
function showObject(box) {
  const { naturalWidth, naturalHeight } = $("look-picture");
  $("look").classList.toggle("fitted", box !== null);
  place($("look-box"), box && edgesOf(box), [naturalWidth, naturalHeight]);
}

function fields(item) {
  const known = Object.entries(item.metadata).filter(([, value]) => value !== null && value !== "");
  return [["id", item.id], ...known].flatMap(([field, value]) => {
    const text = element("dd");
    text.append(field === "url" && linkOf(item) ? outside(linkOf(item), value) : shownValue(value));
    return [element("dt", "", fieldName(field)), text];
  });
}

function outside(address, text) {
  const link = element("a", "", text);
  Object.assign(link, { href: address, target: "_blank", rel: "noopener noreferrer" });
  return link;
}
