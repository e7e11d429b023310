// The choice of learners that answer.

import { $, element } from "/dom.js";
import { go, question } from "/question.js";
import { server } from "/server.js";

export function offerLearners() {
  const many = server.info.sizes.length;
  const choices = [["", `All ${many}`, server.info.sizes.reduce((a, b) => a + b)]];
  let dimensions = 0;
  for (let m = 1; m < many; m++) {
    dimensions += server.info.sizes[m - 1];
    if (m > 1) choices.push([`1-${m}`, `First ${m}`, dimensions]);
  }
  server.info.sizes.forEach((size, m) => choices.push([`${m + 1}`, `Only ${m + 1}`, size]));
  $("learners").replaceChildren(...choices.map(([value, text, size]) => {
    const label = element("label", "pill");
    const radio = element("input");
    Object.assign(radio, { type: "radio", name: "learners", value });
    radio.addEventListener("change", () => go({ ...question.now, learners: value || null }));
    const caption = element("span", "", text);
    caption.append(element("small", "", ` ${size}`), element("span", "unseen", " dimensions"));
    label.append(radio, caption);
    return label;
  }));
}
