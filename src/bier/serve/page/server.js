// The server that this page belongs to.

import { Client } from "/client.js";
import { say } from "/messages.js";
import { askForToken } from "/token.js";

export const client = new Client(askForToken, (seconds) => say(`The server is busy; trying again in ${seconds} s …`));
export const server = { info: null, opening: null }; // what /api/info says; the promise of its first answer
