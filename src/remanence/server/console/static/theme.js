// Runs before the page is drawn, so that a page in the dark never flashes white.
(() => {
  let wanted = null;
  try {
    wanted = localStorage.getItem("remanence.theme");
  } catch {
    // A browser that keeps nothing shows the system's colours.
  }
  if (wanted === "dark" || wanted === "light") document.documentElement.dataset.theme = wanted;
})();
