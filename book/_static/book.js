/* Search shows excerpts by fetching pages, which a browser refuses where the
   site is opened as files; the list of results does not need them. */
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

/* A formula that has no room is set smaller, down to two thirds; what is still too wide scrolls. */
function fitFormulas() {
  const formulas = [...document.querySelectorAll("mjx-container")];
  for (const formula of formulas) {
    formula.dataset.size ??= parseFloat(formula.style.fontSize) || 100;
    formula.style.fontSize = `${formula.dataset.size}%`;
  }
  const width = (element) => element.getBoundingClientRect().width;
  const room = (formula) => (formula.hasAttribute("display") ? formula : formula.closest("p, li, dd, td, th, figcaption") || formula);
  const shares = formulas.map((formula) => width(room(formula)) / width(formula.querySelector("mjx-math")));
  formulas.forEach((formula, i) => {
    if (shares[i] < 1) formula.style.fontSize = `${formula.dataset.size * Math.max(0.66, 0.99 * shares[i])}%`;
  });
}
addEventListener("load", () => window.MathJax?.startup?.promise.then(fitFormulas));
addEventListener("resize", fitFormulas);

/* The cover's picture holds one group for each digit. Offer a button for each
   that shows it; without this script the first one chosen stays. */
document.addEventListener("DOMContentLoaded", () => {
  const art = document.querySelector(".cover-art");
  if (!art) return;
  const samples = [...art.querySelectorAll(".sample")];
  const row = document.createElement("div");
  row.className = "cover-picks";
  row.setAttribute("role", "group");
  row.setAttribute("aria-label", "Digit that the network reads");
  samples.forEach((sample) => {
    const pick = document.createElement("button");
    pick.type = "button";
    pick.title = "Show " + sample.dataset.label;
    pick.setAttribute("aria-label", pick.title);
    pick.setAttribute("aria-pressed", sample.classList.contains("shown"));
    const small = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    small.setAttribute("viewBox", "0 4 430 430");
    small.setAttribute("aria-hidden", "true");
    sample.querySelectorAll(".px").forEach((p) => small.append(p.cloneNode()));
    pick.append(small);
    pick.addEventListener("click", () => {
      samples.forEach((s) => s.classList.toggle("shown", s === sample));
      row.querySelectorAll("button").forEach((b) => b.setAttribute("aria-pressed", b === pick));
    });
    row.append(pick);
  });
  art.after(row);
});
