// What is shown: everything in the index, or what is most like the examples.

import { $, number } from "/dom.js";
import { Grid } from "/grid.js";
import { collectLabels } from "/labels.js";
import { empty, heading, say, trouble } from "/messages.js";
import { named } from "/named.js";
import { showQuery } from "/query.js";
import { question, uploads } from "/question.js";
import { client, server } from "/server.js";
import { shown } from "/shown.js";
import { makeTile } from "/tile.js";

const PAGE = 100; // pictures listed at once
shown.grid = new Grid($("pictures"), (index) => makeTile(index, need), (tile) => tile.loading?.abort());
let asked = null; // the request that counts; an older one is aborted

export async function show() {
  asked?.abort();
  asked = new AbortController();
  const { signal } = asked;
  showQuery();
  try {
    await (question.now.like.length ? search(signal) : browse(signal));
    $("trouble").hidden = true;
  } catch (error) {
    if (error.name !== "AbortError") trouble(error);
  }
}

async function browse(signal) {
  const first = await listed(0, signal);
  const count = first.count;
  Object.assign(shown, { items: [], pages: new Map([[0, true]]), ranks: null, examples: "" });
  first.pictures.forEach((picture, i) => { shown.items[i] = picture; });
  heading(question.now.label ? "Pictures with this label" : "All pictures");
  const rest = !question.now.label && server.info.count > count ? ` of ${number(server.info.count)}; search to see the others` : "";
  say(`${number(first.count)} ${first.count === 1 ? "picture" : "pictures"}${rest}`);
  collectLabels(first.pictures);
  shown.grid.reset(count);
  empty(count ? "" : question.now.label ? "No picture has this label." : "This index is empty. Fill it with bier index.");
}

function listed(page, signal) {
  const query = new URLSearchParams({ offset: page * PAGE, limit: PAGE, where: JSON.stringify(where()) });
  return client.get(`/api/pictures?${query}`, signal);
}

/** Fetch the page of the list that a tile stands on. */
async function need(index) {
  const { pages, items } = shown;
  const page = Math.floor(index / PAGE);
  if (!pages || pages.has(page)) return;
  pages.set(page, true);
  try {
    const { pictures } = await listed(page, asked.signal);
    pictures.forEach((picture, i) => { items[page * PAGE + i] = picture; });
    collectLabels(pictures);
    if (shown.pages === pages) shown.grid.refresh(page * PAGE, page * PAGE + pictures.length);
  } catch (error) {
    pages.delete(page);
    if (error.name !== "AbortError") trouble(error);
  }
}

async function search(signal) {
  const split = (examples) => ({
    ids: examples.filter((one) => one.id !== undefined).map((one) => one.id),
    vectors: examples.filter((one) => one.sha256).map((one) => uploads.get(one.sha256).vector),
  });
  const like = split(question.now.like), unlike = split(question.now.unlike);
  const found = await client.post("/api/search", {
    ids: like.ids, vectors: like.vectors, unlike_ids: unlike.ids, unlike_vectors: unlike.vectors,
    top: Number($("top").value), learners: question.now.learners, where: where(),
  }, signal);
  // The same question to other learners: show what moved.
  const examples = JSON.stringify([question.now.like, question.now.unlike, question.now.label]);
  const before = shown.examples === examples && shown.learners !== question.now.learners ? shown.items : null;
  const ranks = before && new Map(before.map((hit, rank) => [hit.id, rank]));
  Object.assign(shown, { items: found.hits, pages: null, ranks, examples, learners: question.now.learners });
  heading("Most alike");
  const best = found.hits[0];
  say(best
    ? `${number(found.hits.length)} of ${number(server.info.count)} in ${Math.max(1, Math.round(found.milliseconds))} ms; ` +
      `best: ${named(best)}, ${best.score.toFixed(2)}`
    : "Nothing found");
  collectLabels(found.hits);
  shown.grid.reset(found.hits.length);
  empty(best ? "" : "Nothing like this here. Take the label filter away, or try another picture.");
}

function where() {
  return question.now.label ? { label: question.now.label } : {};
}
