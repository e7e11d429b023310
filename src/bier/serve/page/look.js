// A closer look at one picture.

import { $ } from "/dom.js";
import { trouble } from "/messages.js";
import { named } from "/named.js";
import { from } from "/question.js";
import { client } from "/server.js";

export async function look(item) {
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
