// Puts the parts together.

const THEMES = ["auto", "light", "dark"];

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  byId("theme").textContent = `Theme: ${theme}`;
  byId("theme").dataset.chosen = theme;
  tell("theme");
}

function startTheme() {
  setTheme("auto");
  byId("theme").addEventListener("click", () => setTheme(THEMES[(THEMES.indexOf(byId("theme").dataset.chosen) + 1) % THEMES.length]));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => tell("theme"));
}

function start() {
  startTheme();
  startTable();
  startChips();
  startSummary();
  startDetails();
  startDistributions();
  startRejected();
  startLandscape();
  chooseMolecule(0);
  document.documentElement.dataset.ready = "yes";
  // WebGL may take a second where there is no graphics card; the page can be read meanwhile
  requestAnimationFrame(() => setTimeout(startViewer));
}

start();
