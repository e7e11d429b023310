// What is shown: everything in the index, or what is most like the examples.

import { $, many, number } from "/dom.js";
import { left, showFilters, whereAsked } from "/filter.js";
import { Grid } from "/grid.js";
import { complain, empty, heading, say, showAbsence, trouble } from "/messages.js";
import { filterNames, named } from "/named.js";
import { showQuery } from "/query.js";
import { question } from "/question.js";
import { client, server } from "/server.js";
import { shown } from "/shown.js";
import { makeTile } from "/tile.js";
import { forgetVectors, vectorsOf } from "/uploads.js";

const PAGE = 100; // pictures listed at once
shown.grid = new Grid($("pictures"), (index) => makeTile(index, need), (tile) => tile.loading?.abort());
let asked = null; // the request that counts; an older one is aborted

export async function show() {
  asked?.abort();
  asked = new AbortController();
  const { signal } = asked;
  showQuery();
  showFilters();
  try {
    if (question.now.like.length) say("Searching …");
    const where = await whereAsked(signal);
    await (question.now.like.length ? search(where, signal) : browse(where, signal));
    $("trouble").hidden = true;
    if (left.out) complain(left.out, "Type more of the word to see all.");
  } catch (error) {
    if (error.name !== "AbortError") trouble(error);
  }
}

async function browse(where, signal) {
  const first = await listed(where, 0, signal);
  const count = first.count;
  const filters = filterNames(question.now.where);
  Object.assign(shown, { items: [], pages: new Map([[0, true]]), where, ranks: null, examples: "" });
  first.pictures.forEach((picture, i) => { shown.items[i] = picture; });
  heading(filters ? `Pictures with ${filters}` : "All pictures");
  const rest = !filters && server.info.count > count ? ` of ${number(server.info.count)}; search to see the others` : "";
  say(`${many(count, "picture", "pictures")}${rest}`);
  showAbsence(null);
  shown.grid.reset(count);
  empty(count ? "" : nothingListed(filters));
}

function nothingListed(filters) {
  if (!server.info.count) return "This index is empty. Whoever runs it can fill it with: bier index PICTURES --model RUN --out INDEX";
  return `No picture has ${filters}. Take the filter away, or choose another.`;
}

function listed(where, page, signal) {
  const query = new URLSearchParams({ offset: page * PAGE, limit: PAGE, where: JSON.stringify(where) });
  return client.get(`/api/pictures?${query}`, signal);
}

/** Fetch the page of the list that a tile stands on. */
async function need(index) {
  const { pages, items, where } = shown;
  const page = Math.floor(index / PAGE);
  if (!pages || pages.has(page)) return;
  pages.set(page, true);
  try {
    const { pictures } = await listed(where, page, asked.signal);
    pictures.forEach((picture, i) => { items[page * PAGE + i] = picture; });
    if (shown.pages === pages) shown.grid.refresh(page * PAGE, page * PAGE + pictures.length);
  } catch (error) {
    pages.delete(page);
    if (error.name !== "AbortError") trouble(error);
  }
}

async function search(where, signal) {
  const found = await answered(where, signal);
  // Of examples by id the server leaves out the pictures themselves; a part comes to it as a vector.
  const parts = new Set([...question.now.like, ...question.now.unlike].filter((one) => one.box).map((one) => one.id));
  const hits = found.hits.filter((hit) => !parts.has(hit.id));
  // The same question to other learners: show what moved.
  const examples = JSON.stringify([question.now.like, question.now.unlike, question.now.where]);
  const before = shown.examples === examples && shown.learners !== question.now.learners ? shown.items : null;
  const ranks = before && new Map(before.map((hit, rank) => [hit.id, rank]));
  Object.assign(shown, { items: hits, pages: null, ranks, examples, learners: question.now.learners });
  heading("Most alike");
  say(hits.length ? told(found, hits) : "Nothing found");
  showAbsence(hits.length ? found : null);
  shown.grid.reset(hits.length);
  empty(hits.length ? "" : nothingFound());
}

/** What the server answers. After a rebuild of the index it wants vectors of the new model. */
async function answered(where, signal, again = true) {
  const { like, unlike } = question.now;
  const { model, vectors } = await vectorsOf([...like, ...unlike].filter((one) => !isId(one)));
  const pictures = like.filter((one) => !isId(one)).length;
  try {
    return await client.post("/api/search", {
      ids: like.filter(isId).map((one) => one.id), vectors: vectors.slice(0, pictures),
      unlike_ids: unlike.filter(isId).map((one) => one.id), unlike_vectors: vectors.slice(pictures),
      model: vectors.length ? model : null, top: Number($("top").value), learners: question.now.learners, where,
    }, signal);
  } catch (error) {
    if (error.status !== 409 || !again) throw error;
    forgetVectors();
    return answered(where, signal, false);
  }
}

const isId = (one) => one.id !== undefined && !one.box;

function told(found, hits) {
  const time = `${number(hits.length)} of ${number(server.info.count)} in ${Math.max(1, Math.round(found.milliseconds))} ms`;
  const best = found.absent ? "nearest" : "best";
  const sure = found.absent || typeof found.confidence !== "number" ? "" : `, sure: ${percent(found.confidence)}`;
  const share = typeof found.recall === "number" ? `: ${percent(found.recall)} of the nearest` : "";
  const about = found.exact === false ? ` · approximate${share}` : "";
  return `${best}: ${named(hits[0])}, ${hits[0].score.toFixed(2)}${sure} · ${time}${about}`;
}

const percent = (share) => `${Math.min(99, Math.max(1, Math.round(100 * share)))} %`;

function nothingFound() {
  const filters = filterNames(question.now.where);
  if (!server.info.count) return "This index is empty, so there is nothing to find.";
  if (filters) return `Nothing here has ${filters}. Take the filter away, or choose another.`;
  return "There is no other picture in this index.";
}
