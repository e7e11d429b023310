// What is asked: examples, learners, filter. It stands in the address, so that the browser's Back undoes a change.

import { shown } from "/shown.js";

export const question = { now: { like: [], unlike: [], learners: null, label: "" } }; // examples: {id} or {sha256}
export const uploads = new Map(); // sha256 → {sha256, vector, name, url}
let answer = null;

/** `callback` shows the answer to a new question. */
export const whenAsked = (callback) => { answer = callback; };

export const from = (id) => go({ ...question.now, like: [{ id }], unlike: [], label: "" });

/** Change what is asked, so that the browser's Back undoes it. */
export function go(next) {
  if (!next.like.length) next = { ...next, unlike: [], learners: null };
  const searched = next.like.length && JSON.stringify(next.like) !== JSON.stringify(question.now.like);
  question.now = next;
  const hash = address();
  if (hash !== location.hash) history.pushState(null, "", hash || location.pathname);
  if (searched) scrollTo({ top: 0, behavior: "instant" });
  const keep = shown.grid.root.contains(document.activeElement) && document.activeElement.matches(":focus-visible");
  return answer().then(() => { if (keep) shown.grid.activate(0); });
}

export function address() {
  const parts = new URLSearchParams();
  const name = (one) => one.id !== undefined ? `id:${one.id}` : `upload:${one.sha256}`;
  question.now.like.forEach((one) => parts.append("like", name(one)));
  question.now.unlike.forEach((one) => parts.append("unlike", name(one)));
  if (question.now.learners) parts.set("learners", question.now.learners);
  if (question.now.label) parts.set("label", question.now.label);
  return parts.size ? `#${parts}` : "";
}

export function fromAddress() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const read = (name) => parts.getAll(name).flatMap((text) => {
    if (text.startsWith("id:")) return [{ id: text.slice(3) }];
    const sha256 = text.slice("upload:".length);
    return uploads.has(sha256) ? [{ sha256 }] : []; // an upload lives as long as the tab
  });
  question.now = { like: read("like"), unlike: read("unlike"), learners: parts.get("learners"), label: parts.get("label") ?? "" };
}

export const without = (examples, id) => examples.filter((one) => one.id !== id);
