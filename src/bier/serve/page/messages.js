// What the page says to people.

import { Trouble } from "/client.js";
import { $, element } from "/dom.js";

export const heading = (text) => { $("heading").textContent = text; };
export const say = (text) => { $("status").textContent = text; };

export function empty(text) {
  $("empty").textContent = text;
  $("empty").hidden = !text;
}

export function trouble(error) {
  say("");
  complain(wording(error), error.remedy ?? "Try again.");
}

export function wording(error) {
  if (!(error instanceof Trouble)) console.error(error);
  return error instanceof Trouble ? error.message : "Something went wrong on this page.";
}

export function complain(text, remedy) {
  $("trouble").replaceChildren(element("strong", "", text), element("span", "", remedy));
  $("trouble").hidden = false;
}

/** Say that what is looked for is probably not here, and grey what is shown instead.
 *  @param found the answer to a search; null if there was none */
export function showAbsence(found) {
  const absent = found?.absent === true;
  $("pictures").classList.toggle("absent", absent);
  $("absent").hidden = !absent;
  if (!absent) return;
  const chance = typeof found.known === "number" ? ` The chance that it is here is ${Math.max(1, Math.round(100 * found.known))} %.` : "";
  $("absent").replaceChildren(
    element("strong", "", "Probably not in this catalogue."),
    element("span", "", `The nearest pictures are shown in grey.${chance}`),
  );
}
