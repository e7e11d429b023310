// The dialog in which a part of an example is chosen.

import { Box } from "/box.js";
import { $, element } from "/dom.js";
import { trouble } from "/messages.js";
import { boxOf, exampleName } from "/named.js";
import { question, replace } from "/question.js";
import { wholePicture } from "/uploads.js";

const box = new Box($("part-area"), $("part-picture"), $("part-box"), $("part-corner"), describe);
let example = null;
let object = null; // where it is in its picture, if it is a part of it anyway

/** Let a part of an example be chosen; what is searched for changes when it is. */
export async function choosePart(one) {
  let url;
  try {
    url = URL.createObjectURL(await wholePicture(one));
    await load($("part-picture"), url);
  } catch (error) {
    if (url) URL.revokeObjectURL(url);
    trouble(error);
    return;
  }
  example = one;
  object = boxOf(one);
  $("part-all").textContent = object ? "The object" : "Whole picture";
  $("part-picture").alt = exampleName(one);
  $("part").addEventListener("close", () => { URL.revokeObjectURL(url); example = null; }, { once: true });
  $("part").showModal();
  $("part-area").focus();
  box.value = one.box ?? object;
}

/** The part of an example as a small picture. */
export async function partPicture(one, side) {
  const url = URL.createObjectURL(await wholePicture(one));
  try {
    const image = await load(element("img"), url);
    const [left, top, width, height] = one.box;
    const scale = side / Math.max(width, height);
    const canvas = element("canvas");
    canvas.width = Math.max(1, Math.round(scale * width));
    canvas.height = Math.max(1, Math.round(scale * height));
    canvas.getContext("2d").drawImage(image, left, top, width, height, 0, 0, canvas.width, canvas.height);
    return canvas;
  } finally {
    URL.revokeObjectURL(url);
  }
}

async function load(image, url) {
  image.src = url;
  await image.decode();
  return image;
}

export function listenToPart() {
  $("part-search").addEventListener("click", () => choose(box.value));
  $("part-whole").addEventListener("click", () => choose(null));
  $("part-close").addEventListener("click", () => $("part").close());
  $("part-area").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !box.value) return;
    event.preventDefault(); // or the key would press the button that has the focus afterwards
    choose(box.value);
  });
}

function choose(part) {
  const one = example;
  $("part").close();
  const { box: before, ...whole } = one;
  if (JSON.stringify(part) !== JSON.stringify(before ?? null)) replace(one, part ? { ...whole, box: part } : whole);
  // The button that opened the dialog was drawn anew.
  const index = [...question.now.like, ...question.now.unlike].findIndex((other) => other.id === one.id && other.sha256 === one.sha256);
  $("examples").children[index]?.querySelector(".part")?.focus();
}

function describe() {
  const part = box.value;
  $("part-search").disabled = !part;
  if (part) $("part-text").textContent = `${part[2]} × ${part[3]} pixels, from ${part[0]}, ${part[1]}`;
  else $("part-text").textContent = box.first ? "Now click the opposite corner." : `No box yet: ${object ? "the object" : "all of the picture"} is searched for.`;
}
