// Small helpers for the document.

export const $ = (id) => document.getElementById(id);

export function element(tag, style = "", text = "") {
  const made = document.createElement(tag);
  if (style) made.className = style;
  if (text) made.textContent = text;
  return made;
}

/** A sign of lines, 16 by 16. */
export function stroke(path) {
  const space = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(space, "svg");
  picture.setAttribute("viewBox", "0 0 16 16");
  picture.setAttribute("aria-hidden", "true");
  picture.append(document.createElementNS(space, "path"));
  picture.firstChild.setAttribute("d", path);
  return picture;
}

/** A button with a sign and a word. `name` is what a screen reader says, and has the word in it. */
export function button(style, path, word, name, click) {
  const made = element("button", style);
  made.type = "button";
  made.append(stroke(path), element("span", "", word));
  made.setAttribute("aria-label", name);
  made.addEventListener("click", click);
  return made;
}

/** Signs for the buttons that stand in the document. */
export function drawSigns() {
  for (const one of document.querySelectorAll("[data-sign]")) one.prepend(stroke(one.dataset.sign));
}

export const number = (value) => value.toLocaleString("en");
export const many = (count, one, several) => `${number(count)} ${count === 1 ? one : several}`;
