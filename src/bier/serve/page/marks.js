// Results marked as good or bad.

import { $, element } from "/dom.js";
import { complain, say, trouble, wording } from "/messages.js";
import { named } from "/named.js";
import { question, uploads } from "/question.js";
import { client, server } from "/server.js";
import { shown } from "/shown.js";

const marks = new Map(); // "query result" → good or bad
const queryName = ({ id, sha256, box }) => [id ?? null, sha256 ?? null, box ?? null];
const markKey = (item) => JSON.stringify([question.now.like.map(queryName), item.id]);

export async function mark(item, kind) {
  if (!server.info.marks) return;
  const key = markKey(item);
  const verdict = marks.get(key) === kind ? "none" : kind;
  let saved;
  try {
    saved = await client.post("/api/marks", { marks: question.now.like.map((one) => ({
      query: one.id ?? null, sha256: one.sha256 ?? null, box: one.box ?? null, result: item.id, verdict,
    })) });
  } catch (error) {
    trouble(error);
    return;
  }
  if (verdict === "none") marks.delete(key); else marks.set(key, verdict);
  const index = shown.items.indexOf(item);
  if (shown.grid.tiles.has(index)) paintMark(shown.grid.tiles.get(index), item);
  say(verdict === "none" ? `${named(item)}: mark taken back` : `${named(item)}: marked as ${verdict}, saved`);
  if (saved.wanted.length) await keepUploads(saved.wanted);
}

/** Send pictures again, for a server that keeps them. The marks are saved whatever becomes of that. */
async function keepUploads(hashes) {
  try {
    for (const sha256 of hashes) if (uploads.has(sha256)) await client.keep(uploads.get(sha256).file);
  } catch (error) {
    complain(wording(error), error.remedy ?? "The mark is saved, but its picture is not kept.");
    return;
  }
  say(`${$("status").textContent}. Your picture is kept for training`);
}

export function paintMark(tile, item) {
  const verdict = marks.get(markKey(item));
  for (const kind of ["good", "bad"]) {
    tile.classList.toggle(`is-${kind}`, verdict === kind);
    tile.querySelector(`.actions .${kind}`)?.setAttribute("aria-pressed", String(verdict === kind));
  }
}

export async function downloadPairs() {
  const link = element("a");
  try {
    link.href = URL.createObjectURL(await (await client.fetch("/api/marks.csv")).blob());
  } catch (error) {
    trouble(error);
    return;
  }
  link.download = "pairs.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
