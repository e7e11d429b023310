// What the grid shows at the moment.

export const shown = { items: [], pages: null, ranks: null, examples: "", grid: null };
