// A search refined by one of its results: marked, asked for more of, asked for less of.

import { button } from "/dom.js";
import { mark } from "/marks.js";
import { named } from "/named.js";
import { go, question, without } from "/question.js";
import { server } from "/server.js";

const REFINEMENTS = [
  ["good", "Good", "Good result", "g", "M3 8.5l3.5 3.5L13 4.5"],
  ["bad", "Bad", "Bad result", "b", "M4 4l8 8M12 4l-8 8"],
  ["more", "More", "More like this, too", "+", "M8 3v10M3 8h10"],
  ["less", "Less", "Less like this", "−", "M3 8h10"],
];

/** The buttons that refine a search by one of its results. */
export function refinements(item, done = () => {}) {
  const offered = REFINEMENTS.filter(([kind]) => server.info.marks || (kind !== "good" && kind !== "bad"));
  return offered.map(([kind, word, text, key, path]) => {
    const made = button(kind, path, word, `${text}: ${named(item)}`, () => { act(kind, item); done(); });
    made.title = `${text} (${key})`;
    return made;
  });
}

export function act(kind, item) {
  const { like, unlike } = question.now;
  const one = { id: item.id };
  if (kind === "more") go({ ...question.now, like: [...without(like, item.id), one], unlike: without(unlike, item.id) });
  else if (kind === "less") go({ ...question.now, unlike: [...without(unlike, item.id), one], like: without(like, item.id) });
  else mark(item, kind);
}
