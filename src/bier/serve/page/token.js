// The dialog that asks for the server's token.

import { $ } from "/dom.js";

export function askForToken(refused) {
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
