/** Loads the page; where a file of it does not arrive, says so and loads all again. */

import("./app.js").catch((error) => {
  console.warn(error);
  const view = /** @type {HTMLElement} */ (document.getElementById("view"));
  const german = navigator.language.startsWith("de"); // the dictionaries may be what is missing
  view.textContent = german ? "Die Seite konnte nicht geladen werden. Neuer Versuch …" : "The page could not be loaded. Trying again …";
  setTimeout(() => location.reload(), 3000);
});
