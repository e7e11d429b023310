// What pictures, fields and filters are called.

import { uploads } from "/question.js";
import { server } from "/server.js";

export const named = (item) => item.label ?? item.id.split("/").pop();

export const exampleName = (one) => (one.sha256 ? uploads.get(one.sha256).name || "your picture" : one.id);

export const fieldName = (field) => field.replaceAll("_", " ");

const WORDS = { at_least: "at least", above: "above", at_most: "at most", below: "below" };

/** A value for people. */
export const shownValue = (value) => (value === true ? "yes" : value === false ? "no" : Array.isArray(value) ? value.join(", ") : String(value));

/** "label “Golden”", "label with “gold” in it", "no label", "price at least 10, below 20". */
export function filterName(field, { value, part, range }) {
  if (range) return `${fieldName(field)} ${Object.entries(range).map(([name, limit]) => `${WORDS[name]} ${limit}`).join(", ")}`;
  if (part !== undefined) return `${fieldName(field)} with “${part}” in it`;
  return value === null ? `no ${fieldName(field)}` : `${fieldName(field)} “${shownValue(value)}”`;
}

/** All filters in words. */
export const filterNames = (where) => Object.entries(where).map(([field, one]) => filterName(field, one)).join(", ");

/** Left, top, width and height of an object in its picture, from its field or the end of its id; null without one. */
export function boxOf({ id, metadata }) {
  if (server.info.types.bbox !== "box") return null;
  const text = metadata ? metadata.bbox : id?.match(/#(-?[\d.]+(?:,-?[\d.]+){3})$/)?.[1];
  return text ? text.split(",").map(Number) : null;
}

/** The address that a picture leads to; none if it is not of the web: others may run a program. */
export function linkOf(item) {
  const address = parsed(item.metadata.url);
  return address && ["http:", "https:"].includes(address.protocol) ? address.href : null;
}

function parsed(text) {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}
