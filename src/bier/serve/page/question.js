// What is asked: examples, learners, filters. It stands in the address, so that the browser's Back undoes a change.

import { shown } from "/shown.js";

// Examples are {id} or {sha256}, with `box` if a part is meant. Filters are fields to {value}, {part} or {range}.
export const question = { now: { like: [], unlike: [], learners: null, where: {} } };
export const uploads = new Map(); // sha256 → {name, file, url}
let answer = null;

/** `callback` shows the answer to a new question. */
export const whenAsked = (callback) => { answer = callback; };

export const from = (id) => go({ ...question.now, like: [{ id }], unlike: [], where: {} });

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

/** The same question with the filter of one field changed, or taken away. */
export function filterBy(field, filter) {
  const where = { ...question.now.where, [field]: filter };
  if (!filter) delete where[field];
  return go({ ...question.now, where });
}

/** The same question with another example in the place of one. */
export function replace(one, other) {
  const swap = (examples) => examples.map((example) => (example === one ? other : example));
  return go({ ...question.now, like: swap(question.now.like), unlike: swap(question.now.unlike) });
}

const address = () => {
  const parts = new URLSearchParams();
  const { like, unlike, learners, where } = question.now;
  like.forEach((one) => parts.append("like", exampleText(one)));
  unlike.forEach((one) => parts.append("unlike", exampleText(one)));
  if (learners) parts.set("learners", learners);
  for (const [field, { value, part, range }] of Object.entries(where)) {
    if (range) parts.set(`range:${field}`, JSON.stringify(range));
    else if (part !== undefined) parts.set(`has:${field}`, part);
    else if (value === null) parts.set(`none:${field}`, "");
    else parts.set(`is:${field}`, value);
  }
  return parts.size ? `#${parts}` : "";
};

/** @param types of the fields that are not of texts */
export function fromAddress(fields, types) {
  const parts = new URLSearchParams(location.hash.slice(1));
  const where = {};
  for (const [name, text] of parts) {
    const [, kind, field] = name.match(/^(is|has|none|range):(.*)$/) ?? [];
    if (fields.includes(field)) where[field] = readFilter(kind, text, types[field]);
  }
  const read = (name) => parts.getAll(name).flatMap(readExample);
  question.now = { like: read("like"), unlike: read("unlike"), learners: parts.get("learners"), where };
}

function readFilter(kind, text, type) {
  if (kind === "has") return { part: text };
  if (kind === "none") return { value: null };
  if (kind === "range") return { range: readRange(text) };
  if (type === "yes/no") return { value: text === "true" };
  return { value: type === "whole" || type === "decimal" ? Number(text) : text };
}

/** Of an address that somebody has changed by hand, the server says what is wrong with it. */
function readRange(text) {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}

function exampleText({ id, sha256, box }) {
  const name = id !== undefined ? `id:${id}` : `upload:${sha256}`;
  return box ? `box:${box.join(",")}:${name}` : name;
}

function readExample(text) {
  const [, corners, name] = text.match(/^box:([\d.,]+):(.*)$/s) ?? [null, null, text];
  const box = corners ? { box: corners.split(",").map(Number) } : {};
  if (name.startsWith("id:")) return [{ id: name.slice(3), ...box }];
  const sha256 = name.slice("upload:".length);
  return uploads.has(sha256) ? [{ sha256, ...box }] : []; // an upload lives as long as the tab
}

export const without = (examples, id) => examples.filter((one) => one.id !== id);
