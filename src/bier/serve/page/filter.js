// The filters: a box to type in, which offers all values of a field with their counts; chosen ones stand beside it.

import { $, button, element, many, number } from "/dom.js";
import { trouble } from "/messages.js";
import { fieldName, filterName, shownValue } from "/named.js";
import { filterBy, question } from "/question.js";
import { client, server } from "/server.js";

const OFFERED = 100; // values in the list at once
const PAUSE = 120; // milliseconds after a key
const LONGEST_WHERE = 8000; // characters of a filter in an address
const CROSS = "M4 4l8 8M12 4l-8 8";
const SIGNS = { ">=": "at_least", "<=": "at_most", ">": "above", "<": "below" };
let active = -1; // the option that the arrows have reached
let asked = null; // the request that counts; an older one is aborted
let waiting = null;

const input = $("filter-value"), list = $("filter-list"), field = $("filter-field");

/** Fields that can be filtered by; a link is no filter, nor is the place of an object. */
export const filterFields = () => server.info.fields.filter((name) => name !== "url" && server.info.types[name] !== "box");

export function offerFilters() {
  const fields = filterFields();
  $("filter").hidden = !fields.length || !server.info.count;
  if (!fields.length) return;
  if (fields.includes("label")) fields.sort((a, b) => (b === "label") - (a === "label"));
  field.replaceChildren(...fields.map((name) => new Option(fieldName(name), name)));
  field.hidden = fields.length < 2;
  field.addEventListener("change", () => { input.value = ""; name(); });
  input.addEventListener("input", later);
  input.addEventListener("focus", later);
  input.addEventListener("click", () => { if (list.hidden) later(); });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", key);
  list.addEventListener("pointerdown", (event) => event.preventDefault()); // the box keeps the focus
  name();
}

function name() {
  $("filter-name").textContent = `Filter by ${fieldName(field.value)}`;
  input.placeholder = `all ${plural(fieldName(field.value))}${isOrdered() ? ", or a range" : ""}`;
  input.title = isOrdered() ? "A value, or a range such as <20, >=10 or 10 to 20" : "";
}

const plural = (word) => (word.endsWith("s") ? word : `${word}s`);

const isOrdered = () => ["whole", "decimal", "date"].includes(server.info.types[field.value]);

/** A range that was typed, such as <20, >=10 or 10 to 20; null if it is none. */
function rangeOf(text) {
  if (!isOrdered()) return null;
  const between = text.match(/^(\S+)\s+to\s+(\S+)$/);
  const signed = [...text.matchAll(/(>=|<=|>|<)\s*([^<>=\s]+)/g)].map(([, sign, limit]) => [SIGNS[sign], limit]);
  const limits = between ? [["at_least", between[1]], ["at_most", between[2]]] : signed;
  const range = limits.map(([name, limit]) => [name, server.info.types[field.value] === "date" ? limit : Number(limit)]);
  return range.length && !range.some(([, limit]) => Number.isNaN(limit)) ? Object.fromEntries(range) : null;
}

function later() {
  clearTimeout(waiting);
  waiting = setTimeout(offer, PAUSE);
}

async function offer() {
  asked?.abort();
  asked = new AbortController();
  const part = input.value.trim();
  const range = rangeOf(part);
  if (range) {
    show([option({ range }, filterName(field.value, { range }), "")]);
    return;
  }
  try {
    const found = await values(field.value, part, OFFERED, asked.signal);
    if (document.activeElement === input) open(part, found);
  } catch (error) {
    if (error.name !== "AbortError") trouble(error);
  }
}

function values(of, part, limit, signal) {
  return client.get(`/api/values?${new URLSearchParams({ field: of, part, limit })}`, signal);
}

function open(part, found) {
  const options = found.values.map(({ value, count }) => option({ value }, value === null ? `no ${fieldName(field.value)}` : shownValue(value), number(count)));
  if (part && found.count > 1) options.unshift(option({ part }, `all with “${part}”`, many(found.count, "value", "values")));
  if (part && !found.count) {
    options.push(note(`No ${fieldName(field.value)} has “${part}” in it.${found.nearest.length ? " Did you mean:" : ""}`));
    options.push(...found.nearest.map((value) => option({ value }, value, "")));
  }
  if (found.count > found.values.length) options.push(note(`${number(found.count - found.values.length)} more: type to find them`));
  show(options);
}

function show(options) {
  list.replaceChildren(...options);
  list.hidden = !options.length;
  input.setAttribute("aria-expanded", String(!list.hidden));
  reach(-1);
}

function option(filter, text, count) {
  const item = element("li");
  item.id = `option-${Math.random().toString(36).slice(2)}`;
  item.setAttribute("role", "option");
  item.append(element("span", "", text), element("small", "", count));
  item.filter = filter;
  item.addEventListener("click", () => choose(filter));
  return item;
}

function note(text) {
  const item = element("li", "remark", text);
  item.setAttribute("role", "presentation");
  return item;
}

const options = () => [...list.querySelectorAll("[role=option]")];

function reach(index) {
  active = index;
  options().forEach((item, i) => item.setAttribute("aria-selected", String(i === index)));
  const reached = options()[index];
  if (reached) input.setAttribute("aria-activedescendant", reached.id);
  else input.removeAttribute("aria-activedescendant");
  reached?.scrollIntoView({ block: "nearest" });
}

function key(event) {
  const count = options().length;
  if (event.key === "ArrowDown" && list.hidden) later();
  else if (event.key === "ArrowDown" && count) reach((active + 1) % count);
  else if (event.key === "ArrowUp" && count) reach((active + count - (active < 0 ? 0 : 1)) % count);
  else if (event.key === "Enter") enter();
  else if (event.key === "Escape") { input.value = ""; close(); } else return;
  event.preventDefault();
  event.stopPropagation();
}

/** What was reached; else the value that was typed, or all that have it in them. */
async function enter() {
  const reached = list.hidden ? null : options()[active];
  const part = input.value.trim();
  if (reached) choose(reached.filter);
  else if (rangeOf(part)) choose({ range: rangeOf(part) });
  else if (part) {
    try {
      const found = await values(field.value, part, OFFERED);
      const same = found.values.find(({ value }) => value !== null && shownValue(value) === part) ?? (found.count === 1 ? found.values[0] : null);
      if (found.count) choose(same ? { value: same.value } : { part });
      else open(part, found);
    } catch (error) {
      trouble(error);
    }
  }
}

function choose(filter) {
  input.value = "";
  close();
  filterBy(field.value, filter);
}

function close() {
  clearTimeout(waiting);
  asked?.abort();
  list.hidden = true;
  input.setAttribute("aria-expanded", "false");
  reach(-1);
}

export function showFilters() {
  const entries = Object.entries(question.now.where);
  $("chips").hidden = !entries.length;
  $("chips").replaceChildren(...entries.map(([of, filter]) => {
    const chip = element("li");
    const text = filterName(of, filter);
    chip.append(button("button chip", CROSS, text, `Take away the filter: ${text}`, () => { input.focus(); filterBy(of, null); }));
    return chip;
  }));
}

/** What had to be left out of the last filters, in words; "" if nothing. */
export const left = { out: "" };

/** The filters as the server takes them: values and ranges, and not parts of values. */
export async function whereAsked(signal) {
  const where = {};
  left.out = "";
  for (const [of, { value, part, range }] of Object.entries(question.now.where)) {
    where[of] = range ?? (part === undefined ? value : await valuesWith(of, part, signal));
  }
  return where;
}

/** All values with the part in them, as many as an address can hold; never none, which would be no filter. */
async function valuesWith(of, part, signal) {
  const all = await values(of, part, 1000, signal);
  let length = 0;
  const held = all.values.map(({ value }) => value).filter((value) => (length += encodeURIComponent(String(value)).length + 3) < LONGEST_WHERE);
  if (held.length < all.count) left.out = `“${part}” is in ${number(all.count)} values of ${fieldName(of)}: only the first ${number(held.length)} are looked at.`;
  return held.length ? held : [part];
}
