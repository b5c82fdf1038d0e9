// Proposals that were rejected, by stage and reason; each can be looked at.

function startRejected() {
  on("shown", drawRejected);
}

let rejectedOf = null;

function drawRejected() {
  if (rejectedOf === choice.molecule) return;
  rejectedOf = choice.molecule;
  const groups = report.rejected.filter((group) => group.molecule === choice.molecule);
  const most = Math.max(1, ...groups.map((group) => group.n));
  const places = new Map(rows.name.map((name, i) => [name, i]));
  const lines = groups.map((group) => {
    const line = [
      el("span", { class: "stage" }, group.stage),
      el("span", { class: "reason" }, group.reason),
      el("span", { class: "reason-bar" }, svgBar(group.n / most)),
      el("span", { class: "number" }, String(group.n)),
    ];
    if (!group.examples.length) return el("li", { class: "group-line" }, line);
    const details = el("details", {}, el("summary", { class: "group-line" }, line));
    // made when it is opened
    details.addEventListener("toggle", () => details.children.length < 2 && details.append(examplesOf(group, places)), { once: true });
    return el("li", {}, details);
  });
  byId("rejected-list").replaceChildren(...lines);
  byId("none-rejected").hidden = lines.length > 0;
}

/** Choose a structure from far below the view. */
function lookAt(i) {
  choose(i);
  byId("structure").scrollIntoView({ block: "nearest" });
}

function examplesOf(group, places) {
  const lines = group.examples.map(([name, reason]) => {
    const i = places.get(name);
    const called = i === undefined ? name : el("button", { type: "button", class: "link", onclick: () => lookAt(i) }, name);
    return el("li", {}, called, el("span", { class: "quiet" }, ` ${reason}`));
  });
  if (group.n > lines.length) lines.push(el("li", { class: "quiet" }, `and ${group.n - lines.length} more`));
  return el("ul", { class: "examples" }, lines);
}
