// The page: examples, learners and filters on one side, the grid of pictures on the other.

import { Client, Trouble } from "/client.js";
import { Grid } from "/grid.js";

const PAGE = 100; // pictures listed at once
const $ = (id) => document.getElementById(id);

const client = new Client(askForToken, (seconds) => say(`The server is busy; trying again in ${seconds} s …`));
const grid = new Grid($("pictures"), makeTile, (tile) => tile.loading?.abort());
const uploads = new Map(); // sha256 → {sha256, vector, name, url}
const marks = new Map(); // "query result" → good or bad
let info = null;
let state = { like: [], unlike: [], learners: null, label: "" }; // examples: {id} or {sha256}
let shown = { items: [], pages: null, ranks: null, examples: "" };
let asked = null; // the request that counts; an older one is aborted

// --- what is shown -------------------------------------------------------------------------------------------------

async function show() {
  asked?.abort();
  asked = new AbortController();
  const { signal } = asked;
  showQuery();
  try {
    await (state.like.length ? search(signal) : browse(signal));
    $("trouble").hidden = true;
  } catch (error) {
    if (error.name !== "AbortError") trouble(error);
  }
}

async function browse(signal) {
  const first = await listed(0, signal);
  const count = first.count;
  shown = { items: [], pages: new Map([[0, true]]), ranks: null, examples: "" };
  first.pictures.forEach((picture, i) => { shown.items[i] = picture; });
  heading(state.label ? "Pictures with this label" : "All pictures");
  const rest = !state.label && info.count > count ? ` of ${number(info.count)}; search to see the others` : "";
  say(`${number(first.count)} ${first.count === 1 ? "picture" : "pictures"}${rest}`);
  collectLabels(first.pictures);
  grid.reset(count);
  empty(count ? "" : state.label ? "No picture has this label." : "This index is empty. Fill it with bier index.");
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
    if (shown.pages === pages) grid.refresh(page * PAGE, page * PAGE + pictures.length);
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
  const like = split(state.like), unlike = split(state.unlike);
  const found = await client.post("/api/search", {
    ids: like.ids, vectors: like.vectors, unlike_ids: unlike.ids, unlike_vectors: unlike.vectors,
    top: Number($("top").value), learners: state.learners, where: where(),
  }, signal);
  // The same question to other learners: show what moved.
  const examples = JSON.stringify([state.like, state.unlike, state.label]);
  const before = shown.examples === examples && shown.learners !== state.learners ? shown.items : null;
  const ranks = before && new Map(before.map((hit, rank) => [hit.id, rank]));
  shown = { items: found.hits, pages: null, ranks, examples, learners: state.learners };
  heading("Most alike");
  const best = found.hits[0];
  say(best
    ? `${number(found.hits.length)} of ${number(info.count)} in ${Math.max(1, Math.round(found.milliseconds))} ms; ` +
      `best: ${named(best)}, ${best.score.toFixed(2)}`
    : "Nothing found");
  collectLabels(found.hits);
  grid.reset(found.hits.length);
  empty(best ? "" : "Nothing like this here. Take the label filter away, or try another picture.");
}

function where() {
  return state.label ? { label: state.label } : {};
}

// --- one picture ---------------------------------------------------------------------------------------------------

function makeTile(index) {
  const item = shown.items[index];
  const tile = element("li", "hit");
  const open = element("button", "open");
  open.type = "button";
  const frame = element("span", "tile");
  open.append(frame);
  tile.append(open);
  if (!item) {
    open.setAttribute("aria-label", `Picture ${index + 1}, loading`);
    tile.append(element("span", "label"));
    need(index);
    return tile;
  }
  const searching = state.like.length > 0;
  open.setAttribute("aria-label", describe(item, index, searching));
  open.addEventListener("click", () => from(item.id));
  const caption = element("span", "label", named(item));
  caption.title = item.id;
  tile.append(caption);
  if (searching) {
    tile.append(scoreLine(item, index), actions(item));
    paintMark(tile, item);
  }
  loadPicture(tile, frame, item);
  return tile;
}

function describe(item, index, searching) {
  if (!searching) return `${named(item)}; search from it`;
  return `${named(item)}, score ${item.score.toFixed(2)}, place ${index + 1}${moved(item, index).words}`;
}

async function loadPicture(tile, frame, item) {
  tile.loading = new AbortController();
  try {
    const image = element("img");
    image.alt = "";
    image.decoding = "async";
    image.src = await client.thumbnail(item.id, tile.loading.signal);
    frame.append(image);
  } catch (error) {
    if (error.name === "AbortError") return;
    const lost = element("span", "lost", error instanceof Trouble ? "picture missing" : "no picture");
    lost.title = error.message;
    frame.append(lost);
  }
}

function scoreLine(item, index) {
  const line = element("span", "score");
  const bar = element("span", "bar");
  const full = element("span");
  full.style.width = `${100 * Math.max(0, Math.min(1, item.score))}%`;
  bar.append(full);
  const change = moved(item, index);
  const badge = element("span", `moved ${change.kind}`, change.sign);
  badge.title = change.words.replace(/^, /, "");
  line.append(element("span", "value", item.score.toFixed(2)), bar, badge);
  return line;
}

function moved(item, index) {
  if (!shown.ranks) return { kind: "", sign: "", words: "" };
  const before = shown.ranks.get(item.id);
  if (before === undefined) return { kind: "new", sign: "new", words: ", new with these learners" };
  if (before === index) return { kind: "", sign: "", words: "" };
  const up = before > index;
  return { kind: up ? "up" : "down", sign: `${up ? "↑" : "↓"}${Math.abs(before - index)}`, words: `, was ${before + 1}` };
}

const ACTIONS = [
  ["good", "Good result", "g", "M3 8.5l3.5 3.5L13 4.5"],
  ["bad", "Bad result", "b", "M4 4l8 8M12 4l-8 8"],
  ["more", "More like this, too", "+", "M8 3v10M3 8h10"],
  ["less", "Less like this", "−", "M3 8h10"],
];

function actions(item) {
  const bar = element("span", "actions");
  for (const [kind, text, key, path] of ACTIONS) {
    if (!info.marks && (kind === "good" || kind === "bad")) continue;
    const button = element("button", kind);
    button.type = "button";
    button.title = `${text} (${key})`;
    button.setAttribute("aria-label", `${text}: ${named(item)}`);
    button.append(stroke(path));
    button.addEventListener("click", () => act(kind, item));
    bar.append(button);
  }
  return bar;
}

function act(kind, item) {
  if (kind === "more") go({ ...state, like: [...without(state.like, item.id), { id: item.id }], unlike: without(state.unlike, item.id) });
  else if (kind === "less") go({ ...state, unlike: [...without(state.unlike, item.id), { id: item.id }], like: without(state.like, item.id) });
  else mark(item, kind);
}

const without = (examples, id) => examples.filter((one) => one.id !== id);
const named = (item) => item.label ?? item.id.split("/").pop();

// --- marks ---------------------------------------------------------------------------------------------------------

const queryName = (example) => example.id !== undefined ? `id ${example.id}` : `sha256 ${example.sha256}`;
const markKey = (item) => JSON.stringify([state.like.map(queryName), item.id]);

async function mark(item, kind) {
  if (!info.marks) return;
  const key = markKey(item);
  const verdict = marks.get(key) === kind ? "none" : kind;
  try {
    await client.post("/api/marks", { marks: state.like.map((one) => ({
      query: one.id ?? null, sha256: one.sha256 ?? null, result: item.id, verdict,
    })) });
  } catch (error) {
    trouble(error);
    return;
  }
  if (verdict === "none") marks.delete(key); else marks.set(key, verdict);
  const index = shown.items.indexOf(item);
  if (grid.tiles.has(index)) paintMark(grid.tiles.get(index), item);
  say(verdict === "none" ? `${named(item)}: mark taken back` : `${named(item)}: marked as ${verdict}, saved`);
  $("pairs").hidden = false;
}

function paintMark(tile, item) {
  const verdict = marks.get(markKey(item));
  for (const kind of ["good", "bad"]) {
    tile.classList.toggle(`is-${kind}`, verdict === kind);
    tile.querySelector(`.actions .${kind}`)?.setAttribute("aria-pressed", String(verdict === kind));
  }
}

async function downloadPairs() {
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

// --- the question --------------------------------------------------------------------------------------------------

const from = (id) => go({ ...state, like: [{ id }], unlike: [], label: "" });

/** Change what is asked, so that the browser's Back undoes it. */
function go(next) {
  if (!next.like.length) next = { ...next, unlike: [], learners: null };
  const searched = next.like.length && JSON.stringify(next.like) !== JSON.stringify(state.like);
  state = next;
  const hash = address();
  if (hash !== location.hash) history.pushState(null, "", hash || location.pathname);
  if (searched) scrollTo({ top: 0, behavior: "instant" });
  const keep = grid.root.contains(document.activeElement) && document.activeElement.matches(":focus-visible");
  return show().then(() => { if (keep) grid.activate(0); });
}

function address() {
  const parts = new URLSearchParams();
  const name = (one) => one.id !== undefined ? `id:${one.id}` : `upload:${one.sha256}`;
  state.like.forEach((one) => parts.append("like", name(one)));
  state.unlike.forEach((one) => parts.append("unlike", name(one)));
  if (state.learners) parts.set("learners", state.learners);
  if (state.label) parts.set("label", state.label);
  return parts.size ? `#${parts}` : "";
}

function fromAddress() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const read = (name) => parts.getAll(name).flatMap((text) => {
    if (text.startsWith("id:")) return [{ id: text.slice(3) }];
    const sha256 = text.slice("upload:".length);
    return uploads.has(sha256) ? [{ sha256 }] : []; // an upload lives as long as the tab
  });
  state = { like: read("like"), unlike: read("unlike"), learners: parts.get("learners"), label: parts.get("label") ?? "" };
}

async function upload(files, add = false) {
  const given = [...files]; // the browser empties its own list when the event is over
  await opening;
  if (!info || !given.length) return;
  const pictures = given.slice(0, info.limits.pictures);
  say(pictures.length === 1 ? "Looking at the picture …" : `Looking at ${pictures.length} pictures …`);
  $("drop").classList.add("working");
  const seen = await Promise.allSettled(pictures.map(embed));
  const examples = seen.filter((one) => one.status === "fulfilled").map((one) => one.value);
  const failures = seen.filter((one) => one.status === "rejected").map((one) => one.reason);
  if (examples.length) {
    await go({ ...state, like: add ? [...state.like, ...examples] : examples, unlike: add ? state.unlike : [] });
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
  if (file.size > info.limits.body) {
    const most = Math.floor(info.limits.body / 1e6);
    throw new Trouble(`${file.name || "The picture"} is larger than ${most} MB.`, "Choose a smaller copy.");
  }
  const { sha256, vector } = await client.embed(file);
  if (!uploads.has(sha256)) uploads.set(sha256, { sha256, vector, name: file.name, url: URL.createObjectURL(file) });
  return { sha256 };
}

function showQuery() {
  const searching = state.like.length > 0;
  const list = $("examples");
  list.replaceChildren(...state.like.map((one) => example(one, "like")), ...state.unlike.map((one) => example(one, "unlike")));
  list.hidden = !searching;
  $("drop").classList.toggle("searching", searching);
  $("invitation").textContent = searching
    ? "Click a result to search on from there; drop or paste another picture to start anew."
    : "Drop a picture anywhere, paste one, or start from one below.";
  $("add").hidden = $("clear").hidden = !searching;
  $("learners-choice").hidden = !searching || info.sizes.length < 2;
  $("top-field").hidden = !searching;
  if ($("label") !== document.activeElement) $("label").value = state.label;
  for (const radio of $("learners").querySelectorAll("input")) radio.checked = radio.value === (state.learners ?? "");
}

function example(one, kind) {
  const item = element("li", `example ${kind}`);
  const upload = one.sha256 && uploads.get(one.sha256);
  const name = upload ? upload.name || "your picture" : one.id;
  const frame = element("span", "tile");
  const image = element("img");
  image.alt = "";
  image.addEventListener("error", () => image.replaceWith(element("span", "lost", "no preview")));
  if (upload) image.src = upload.url;
  else client.thumbnail(one.id).then((url) => { image.src = url; }, () => image.replaceWith(element("span", "lost", "missing")));
  frame.append(image);
  const away = element("button", "away-with");
  away.type = "button";
  away.setAttribute("aria-label", `Take away ${name}`);
  away.append(stroke("M4 4l8 8M12 4l-8 8"));
  away.addEventListener("click", () => go({
    ...state, like: state.like.filter((other) => other !== one), unlike: state.unlike.filter((other) => other !== one),
  }));
  const caption = element("span", "what", kind === "like" ? "like" : "less like");
  caption.append(element("span", "unseen", ` ${name}`));
  item.title = name;
  item.append(frame, away, caption);
  return item;
}

function offerLearners() {
  const many = info.sizes.length;
  const choices = [["", `All ${many}`, info.sizes.reduce((a, b) => a + b)]];
  let dimensions = 0;
  for (let m = 1; m < many; m++) {
    dimensions += info.sizes[m - 1];
    if (m > 1) choices.push([`1-${m}`, `First ${m}`, dimensions]);
  }
  info.sizes.forEach((size, m) => choices.push([`${m + 1}`, `Only ${m + 1}`, size]));
  $("learners").replaceChildren(...choices.map(([value, text, size]) => {
    const label = element("label", "pill");
    const radio = element("input");
    Object.assign(radio, { type: "radio", name: "learners", value });
    radio.addEventListener("change", () => go({ ...state, learners: value || null }));
    const caption = element("span", "", text);
    caption.append(element("small", "", ` ${size}`), element("span", "unseen", " dimensions"));
    label.append(radio, caption);
    return label;
  }));
}

// --- small things --------------------------------------------------------------------------------------------------

function element(tag, style = "", text = "") {
  const made = document.createElement(tag);
  if (style) made.className = style;
  if (text) made.textContent = text;
  return made;
}

function stroke(path) {
  const space = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(space, "svg");
  picture.setAttribute("viewBox", "0 0 16 16");
  picture.setAttribute("aria-hidden", "true");
  picture.append(document.createElementNS(space, "path"));
  picture.firstChild.setAttribute("d", path);
  return picture;
}

const number = (value) => value.toLocaleString("en");
const heading = (text) => { $("heading").textContent = text; };
const say = (text) => { $("status").textContent = text; };

function empty(text) {
  $("empty").textContent = text;
  $("empty").hidden = !text;
}

function trouble(error) {
  say("");
  complain(wording(error), error.remedy ?? "Try again.");
}

function wording(error) {
  if (!(error instanceof Trouble)) console.error(error);
  return error instanceof Trouble ? error.message : "Something went wrong on this page.";
}

function complain(text, remedy) {
  $("trouble").replaceChildren(element("strong", "", text), element("span", "", remedy));
  $("trouble").hidden = false;
}

const labels = new Set();
function collectLabels(items) {
  const fresh = new Set(items.map((item) => item.label).filter((label) => label !== null && !labels.has(label)));
  for (const label of fresh) {
    if (labels.size >= 2000) return;
    labels.add(label);
    const option = element("option");
    option.value = label;
    $("labels").append(option);
  }
}

function askForToken(refused) {
  if (refused) $("token-note").textContent = "That token was not accepted. Try again.";
  $("token").showModal();
  return new Promise((resolve) => {
    $("token").addEventListener("close", () => {
      const value = $("token-value").value.trim();
      $("token-value").value = "";
      resolve(value);
    }, { once: true });
  });
}

async function look(item) {
  $("look-label").textContent = named(item);
  $("look-id").textContent = item.id;
  $("look").returnValue = "";
  try {
    const url = URL.createObjectURL(await client.picture(item.id, 960));
    $("look-picture").src = url;
    $("look").addEventListener("close", () => {
      URL.revokeObjectURL(url);
      if ($("look").returnValue === "search") from(item.id);
    }, { once: true });
    $("look").showModal();
  } catch (error) {
    trouble(error);
  }
}

// --- what people do ------------------------------------------------------------------------------------------------

/** Pictures may come before the server has answered for the first time: `upload` waits for that. */
function listenForPictures() {
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

function listen() {
  $("clear").addEventListener("click", () => go({ ...state, like: [] }));
  $("pairs").addEventListener("click", downloadPairs);
  $("help-open").addEventListener("click", () => $("help").showModal());
  $("top").addEventListener("change", () => show());
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("label").addEventListener("change", () => go({ ...state, label: $("label").value.trim() }));
  $("label").addEventListener("search", () => go({ ...state, label: $("label").value.trim() }));
  addEventListener("popstate", () => { fromAddress(); show(); });
  addEventListener("keydown", shortcut);
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

function shortcut(event) {
  const typing = event.target.matches("input:not([type=radio]), select, textarea");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const index = grid.indexOf(event.target);
  const item = index === null ? null : shown.items[index];
  const onPicture = { g: "good", b: "bad", "+": "more", "-": "less" };
  const anywhere = {
    "?": () => $("help").showModal(),
    "/": () => $("label").focus(),
    u: () => $("choose").click(),
    Escape: () => go({ ...state, like: [] }),
  };
  if (item && state.like.length && event.key in onPicture) act(onPicture[event.key], item);
  else if (item && event.key === "l") look(item);
  else if (event.key in anywhere) anywhere[event.key]();
  else if (/^[0-9]$/.test(event.key) && state.like.length && Number(event.key) <= info.sizes.length) {
    go({ ...state, learners: event.key === "0" ? null : event.key });
  } else return;
  event.preventDefault();
}

async function start() {
  say("Opening …");
  listenForPictures();
  try {
    info = await client.get("/api/info");
  } catch (error) {
    trouble(error);
    return;
  }
  document.title = `${info.title} · find more like this`;
  $("about").textContent = `${info.title} · ${number(info.count)} pictures`;
  $("label-field").hidden = !info.fields.includes("label");
  $("pairs").hidden = !info.marks;
  offerLearners();
  listen();
  fromAddress();
  await show();
}

const opening = start();
