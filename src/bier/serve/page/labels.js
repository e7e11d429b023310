// The labels that the filter offers.

import { $, element } from "/dom.js";

const labels = new Set();
export function collectLabels(items) {
  const fresh = new Set(items.map((item) => item.label).filter((label) => label !== null && !labels.has(label)));
  for (const label of fresh) {
    if (labels.size >= 2000) return;
    labels.add(label);
    const option = element("option");
    option.value = label;
    $("labels").append(option);
  }
}
