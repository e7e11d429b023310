// Pictures that people bring: chosen, photographed, pasted or dropped. And the vectors of examples.

import { Trouble } from "/client.js";
import { $ } from "/dom.js";
import { complain, say, wording } from "/messages.js";
import { go, question, uploads } from "/question.js";
import { client, server } from "/server.js";

let vectors = new Map(); // an example as JSON → its vector, of one model
let model = null; // of these vectors
const wholes = new Map(); // id → the promise of its picture, as large as it is
const WHOLES = 4;

async function upload(files, add = false) {
  const given = [...files]; // the browser empties its own list when the event is over
  await server.opening;
  if (!server.info || !given.length) return;
  const pictures = given.slice(0, server.info.limits.pictures);
  say(pictures.length === 1 ? "Looking at the picture …" : `Looking at ${pictures.length} pictures …`);
  $("drop").classList.add("working");
  const seen = await Promise.allSettled(pictures.map(embed));
  const examples = seen.filter((one) => one.status === "fulfilled").map((one) => one.value);
  const failures = seen.filter((one) => one.status === "rejected").map((one) => one.reason);
  if (examples.length) {
    const { like, unlike } = question.now;
    await go({ ...question.now, like: add ? [...like, ...examples] : examples, unlike: add ? unlike : [] });
  } else say("");
  tell(failures, given.length, pictures.length);
  $("drop").classList.remove("working");
}

/** Say what became of pictures that do not take part. */
function tell(failures, given, taken) {
  const left = given > taken ? [`These are the first ${taken} of ${given}: more cannot be searched by at once.`] : [];
  const texts = [...left, ...new Set(failures.map(wording))];
  if (!texts.length) return;
  const remedy = failures.find((error) => error.remedy)?.remedy ?? (failures.length ? "Try again." : "");
  complain(texts.join(" "), failures.length < taken && failures.length ? `${remedy} The others are used.` : remedy);
}

async function embed(file) {
  if (file.size > server.info.limits.body) {
    const most = Math.floor(server.info.limits.body / 1e6);
    throw new Trouble(`${file.name || "The picture"} is larger than ${most} MB.`, "Choose a smaller copy.");
  }
  const { sha256 } = await remember({ file }, (seen) => JSON.stringify({ sha256: seen.sha256 }));
  if (!uploads.has(sha256)) uploads.set(sha256, { name: file.name, file, url: URL.createObjectURL(file) });
  return { sha256 };
}

/** Have the vector of a picture, or of a part of it. After a rebuild, those of the model before are forgotten. */
async function remember({ file, box }, keyOf) {
  const seen = await client.embed(file, box);
  if (seen.model !== model) vectors = new Map();
  model = seen.model;
  vectors.set(keyOf(seen), seen.vector);
  return seen;
}

/** Vectors of uploads, or of parts of any pictures, all of one model. */
export async function vectorsOf(examples) {
  const keys = examples.map((one) => JSON.stringify(one));
  let missing;
  while ((missing = examples.filter((_, i) => !vectors.has(keys[i]))).length) {
    await Promise.all(missing.map(async (one) => {
      await remember({ file: await wholePicture(one), box: one.box }, () => JSON.stringify(one));
    }));
  }
  return { model, vectors: keys.map((key) => vectors.get(key)) };
}

/** The index has another model now. */
export function forgetVectors() {
  vectors = new Map();
}

/** The picture behind an example, in the pixels that a box is counted in. */
export function wholePicture(one) {
  if (one.sha256) return uploads.get(one.sha256).file;
  if (!wholes.has(one.id)) {
    wholes.set(one.id, client.picture(one.id, "full", true));
    wholes.get(one.id).catch(() => wholes.delete(one.id));
    if (wholes.size > WHOLES) wholes.delete(wholes.keys().next().value);
  }
  return wholes.get(one.id);
}

/** Pictures may come before the server has answered for the first time: `upload` waits for that. */
export function listenForPictures() {
  let adding = false;
  const choose = (add) => { adding = add; $("files").click(); };
  $("choose").addEventListener("click", () => choose(false));
  $("add").addEventListener("click", () => choose(true));
  $("photograph").addEventListener("click", () => { adding = false; $("camera").click(); });
  for (const input of [$("files"), $("camera")]) {
    input.addEventListener("change", async () => {
      const files = [...input.files];
      input.value = "";
      await upload(files, adding);
    });
  }
  addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) upload(event.clipboardData.files);
    else if (!takesText(event.target)) noPicture();
  });
  listenToDrops();
}

/** Every drop is ours, whatever it holds: left to the browser, a dropped address leads away from the page. */
function listenToDrops() {
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  const ours = (event) => {
    const text = !holdsFiles(event) && takesText(event.target);
    if (!text) event.preventDefault();
    return !text;
  };
  addEventListener("dragover", (event) => { if (ours(event) && holdsFiles(event)) $("veil").hidden = false; });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("veil").hidden = true; });
  addEventListener("drop", (event) => {
    $("veil").hidden = true;
    if (!ours(event)) return;
    if (event.dataTransfer?.files.length) upload(event.dataTransfer.files);
    else noPicture();
  });
}

const takesText = (target) => target.matches?.("input, textarea");

/** Addresses are not fetched: the server would ask for whatever a stranger names. */
function noPicture() {
  complain("That is an address or a text, not a picture.", "Save the picture first, or copy the picture itself and paste it.");
}
