// What is labelled stays in the browser, and becomes a table when it is downloaded.
const content = JSON.parse(document.getElementById("content").textContent);
const pictures = content.pictures, kept = `bier-labels:${content.id}`;
const at = id => document.getElementById(id);
const RECENT = 4;

let given = {};      // picture -> label; an empty one was skipped
let past = [];    // [place, what was given before], the last one last
let place = 0;
let chosen = -1;     // among the completions

const titles = new Map(content.known);
const title = label => titles.get(label) || label;
const folded = text => text.normalize("NFC").trim().toLowerCase();
const told = label => folded(title(label)) === folded(label.replaceAll("_", " ")) ? title(label) : `${title(label)} (${label})`;
const labels = () => [...new Set([...titles.keys(), ...Object.values(given).filter(Boolean)])];
const named = () => pictures.filter(picture => given[picture.image]).length;

function load() {
  try {
    const before = JSON.parse(localStorage.getItem(kept) || "null");
    if (before) ({ given, place, past } = before);
    place = Math.min(Math.max(0, place | 0), pictures.length);
    at("kept").textContent = "Labels are kept in this browser until you download them.";
  } catch {
    at("kept").textContent = "This browser keeps nothing. Download before you close the page.";
  }
}

function save() {
  try {
    localStorage.setItem(kept, JSON.stringify({ given, place, past }));
  } catch {
    at("kept").textContent = "This browser keeps no more. Download now.";
  }
}

// Labels of the last pictures that the model does not suggest, in the order of their first use: keys stay what they are.
function recent(suggested) {
  const used = past.map(([index]) => given[pictures[index].image]).filter(label => label && !suggested.includes(label));
  const last = [...new Set([...used].reverse())].slice(0, RECENT);
  return [...new Set(used)].filter(label => last.includes(label));
}

function offered() {
  if (place >= pictures.length) return [];
  const suggested = pictures[place].suggested;
  return [...suggested, ...recent(suggested)].slice(0, 9);
}

function choice(label, number) {
  const item = document.createElement("li"), button = document.createElement("button");
  button.type = "button";
  button.setAttribute("aria-pressed", given[pictures[place].image] === label);
  button.setAttribute("aria-keyshortcuts", number);
  const key = document.createElement("kbd"), text = document.createElement("span");
  key.textContent = number;
  text.textContent = title(label);
  button.append(key);
  if (content.examples[label]) {
    const example = new Image();
    example.src = content.examples[label];
    example.alt = "";
    button.append(example);
  }
  button.append(text);
  button.onclick = () => give(label);
  item.append(button);
  return item;
}

function show() {
  const over = place >= pictures.length, picture = over ? null : pictures[place];
  const label = over ? undefined : given[picture.image];
  at("picture").hidden = !picture?.shown;
  at("lost").hidden = Boolean(picture?.shown);
  if (picture?.shown) at("picture").src = picture.shown;
  at("picture").alt = over ? "" : `Picture ${place + 1}: ${picture.name}`;
  at("reason").textContent = over ? "" : picture.reason;
  at("place").textContent = over ? "" : `${place + 1} of ${pictures.length} · ${picture.name}`;
  at("given").replaceChildren();
  if (label) at("given").append("Label: ", Object.assign(document.createElement("b"), { textContent: title(label) }));
  else at("given").textContent = label === "" ? "Skipped" : over ? "That was the last picture." : "Which label?";
  at("suggested").replaceChildren(...offered().map((each, index) => choice(each, index + 1)));
  const count = named();
  at("done").max = pictures.length;
  at("done").value = count;
  at("standing").textContent = `${count} of ${pictures.length} labelled`;
  at("download").disabled = !count;
  at("back").disabled = place === 0;
  at("skip").disabled = over;
  at("undo").disabled = !past.length;
  at("shown").hidden = at("typing").hidden = over;
  close();
}

function give(label) {
  if (place >= pictures.length) return;
  const image = pictures[place].image;
  past.push([place, given[image]]);
  given[image] = label;
  move(1);
}

function skip() {
  const image = place < pictures.length && pictures[place].image;
  if (image && given[image] === undefined) give("");
  else move(1);
}

function move(step) {
  place = Math.min(Math.max(0, place + step), pictures.length);
  save();
  show();
}

function undo() {
  if (!past.length) return;
  const [index, before] = past.pop(), image = pictures[index].image;
  if (before === undefined) delete given[image];
  else given[image] = before;
  place = index;
  save();
  show();
}

// Known labels that begin with a text, then those that hold it.
function completions(text) {
  const wanted = folded(text), all = wanted ? labels() : [];
  const names = label => [folded(label), folded(title(label))];
  const begin = all.filter(label => names(label).some(name => name.startsWith(wanted)));
  const hold = all.filter(label => !begin.includes(label) && names(label).some(name => name.includes(wanted)));
  return [...begin, ...hold].slice(0, 50);
}

function complete() {
  const found = completions(at("label").value);
  at("known").replaceChildren(...found.map((label, index) => {
    const item = document.createElement("li");
    item.id = `known-${index}`;
    item.setAttribute("role", "option");
    item.dataset.label = label;
    item.textContent = told(label);
    item.setAttribute("aria-selected", index === chosen);
    item.onmousedown = event => { event.preventDefault(); take(label); };
    return item;
  }));
  at("known").hidden = !found.length;
  at("label").setAttribute("aria-expanded", Boolean(found.length));
  if (chosen >= 0 && found.length) {
    at("label").setAttribute("aria-activedescendant", `known-${chosen}`);
    at(`known-${chosen}`).scrollIntoView({ block: "nearest" });
  } else at("label").removeAttribute("aria-activedescendant");
}

function close() {
  chosen = -1;
  at("label").value = "";
  complete();
  at("label").blur();
}

// A label in its known spelling, if there is one.
function take(text) {
  const wanted = folded(text);
  const known = labels().find(label => folded(label) === wanted || folded(title(label)) === wanted);
  const label = known ?? text.normalize("NFC").trim();
  if (label) give(label);
}

function typed(event) {
  const items = [...at("known").children];
  if (event.key === "Escape") close();
  else if (event.key === "Enter") take(chosen >= 0 ? items[chosen].dataset.label : at("label").value);
  else if (event.key === "Tab" && items.length && at("label").value) {
    at("label").value = items[Math.max(chosen, 0)].dataset.label;
    chosen = -1;
    complete();
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    chosen = Math.min(Math.max(-1, chosen + (event.key === "ArrowDown" ? 1 : -1)), items.length - 1);
    complete();
  } else return;
  event.preventDefault();
}

function pressed(event) {
  if (event.isComposing) return;
  if (event.target === at("label")) return typed(event);
  const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
  const inControl = event.target.closest?.("button, summary");
  if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey)) undo();
  else if (!plain) return;
  else if (/^[1-9]$/.test(event.key)) { const label = offered()[event.key - 1]; if (label !== undefined) give(label); }
  else if (event.key === "ArrowLeft") move(-1);
  else if (event.key === "ArrowRight" || (event.key === " " && !inControl)) skip();
  else if (event.key === "Backspace") undo();
  else if (event.key === "/") at("label").focus();
  else if (/^\p{L}$/u.test(event.key)) return at("label").focus();  // which then gets the letter
  else return;
  event.preventDefault();
}

const cell = text => /[",\n\r]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;

function table() {
  const rows = pictures.filter(picture => given[picture.image]);
  return ["image,label", ...rows.map(({ image }) => `${cell(image)},${cell(given[image])}`), ""].join("\n");
}

function download() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
  link.download = "labels.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

at("back").onclick = () => move(-1);
at("skip").onclick = skip;
at("undo").onclick = undo;
at("download").onclick = download;
at("label").oninput = () => { chosen = -1; complete(); };
at("label").onblur = () => { at("known").hidden = true; };
document.addEventListener("keydown", pressed);
load();
show();
