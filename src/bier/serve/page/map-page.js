// The page of the map: what the server has drawn, with its own thumbnails.

import { $, element, many } from "/dom.js";
import { complain, say, trouble } from "/messages.js";
import { PictureMap } from "/map.js";
import { fieldName } from "/named.js";
import { client } from "/server.js";

/** What has changed in the index since the map was drawn; empty if nothing. */
function changes({ gone, changed, new: added }) {
  const parts = [[gone, "gone"], [changed, "changed"], [added, "new"]].filter(([count]) => count);
  if (!parts.length) return "";
  const words = parts.map(([count, what]) => `${many(count, "picture is", "pictures are")} ${what}`);
  return `The index has changed since this map was drawn: ${words.join(", ")}.`;
}

function told(map, shown) {
  const all = map.drawn_from > map.ids.length ? `${many(shown, "picture", "pictures")}, drawn at random from ${map.drawn_from.toLocaleString("en")}` : many(shown, "picture", "pictures");
  return `${all}. The nearer two lie, the more alike they are.`;
}

async function picture(id) {
  const image = element("img");
  image.src = await client.thumbnail(id);
  await image.decode();
  return { image, x: 0, y: 0, width: image.naturalWidth, height: image.naturalHeight };
}

async function values(name, version, rows) {
  const found = await client.get(`/api/map/values?${new URLSearchParams({ field: name })}`);
  if (found.version !== version) location.reload(); // another map was drawn meanwhile
  return rows.map((row) => found.values[row]);
}

async function start() {
  try {
    const [info, map] = [await client.get("/api/info"), await client.get("/api/map")];
    const rows = [...map.ids.keys()].filter((row) => map.here[row]);
    const ids = rows.map((row) => map.ids[row]);
    const fields = info.fields.filter((name) => name !== "url").map((name) => ({ name, title: fieldName(name), kind: info.types[name] ?? "text" }));
    const labels = info.fields.includes("label") ? await values("label", map.version, rows) : [];
    document.title = `${info.title} · map`;
    $("about").textContent = info.title;
    say(told(map, ids.length));
    if (changes(map)) complain(changes(map), "Draw it anew: bier index map INDEX");
    $("map").hidden = false;
    await new PictureMap($("map"), {
      ids,
      x: rows.map((row) => map.x[row]),
      y: rows.map((row) => map.y[row]),
      fields,
      values: (name) => (name === "label" ? Promise.resolve(labels) : values(name, map.version, rows)),
      title: (i) => labels[i] ?? ids[i].split("/").pop(),
      picture: (i) => picture(ids[i]),
      link: (i) => `/#${new URLSearchParams({ like: `id:${ids[i]}` })}`,
      file: "ids.txt",
      whole: true,
    }).start();
  } catch (error) {
    trouble(error);
  }
}

start();
