// Applies the chosen look before the first paint; everything else waits for the page.
(() => {
  let chosen = null;
  try { chosen = localStorage.getItem("filemill-theme"); } catch { /* storage may be forbidden */ }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
