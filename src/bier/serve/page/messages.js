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
