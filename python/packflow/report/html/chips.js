// What filters the table beside its words, each with a way to take it away: beside the table's heading and over the distributions.

function startChips() {
  byId("clear-filters").addEventListener("click", () => {
    clearFilters();
    byId("filter").focus();
  });
  on("shown", drawChips);
}

function drawChips() {
  if (byId("filter").value !== choice.words) byId("filter").value = choice.words;
  byId("clear-filters").hidden = !choice.words.trim() && !choice.ranges.size;
  const focused = document.activeElement?.closest?.(".chips");
  for (const place of document.querySelectorAll(".chips"))
    place.replaceChildren(...[...choice.ranges].map(([name, range]) => chipOf(name, range)));
  // one that was taken away leaves the focus to the next, or to the words
  if (focused) (focused.querySelector("button") ?? byId("filter")).focus({ preventScroll: true });
}

function chipOf(name, range) {
  const [heading, unit] = QUANTITIES[name];
  const text = `${heading} ${between(name, range)}${unit ? ` ${unit}` : ""}`;
  return el(
    "button",
    {
      type: "button",
      class: "filter-chip",
      "data-range": name,
      "aria-label": `Remove the filter ${text}`,
      title: "remove this filter",
      onclick: () => setRange(name, null),
    },
    text,
    el("span", { "aria-hidden": "true" }, "×"),
  );
}
