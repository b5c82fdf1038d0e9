// What pointer and keys do in the landscape.

function nearestPoint(x, y) {
  let best = null;
  for (const point of plot.points) {
    const distance = Math.hypot(point.x - x, point.y - y);
    // of points at one place the one that was drawn last is seen
    if (distance <= NEAR && (!best || distance <= best.distance)) best = { distance, point };
  }
  return best?.point ?? null;
}

function pointerOn(area) {
  const place = (event) => {
    const box = area.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  area.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    plot.drag = { from: place(event), moved: false };
    area.setPointerCapture(event.pointerId);
  });
  area.addEventListener("pointermove", (event) => {
    const at = place(event);
    if (plot.drag) {
      plot.drag.moved ||= Math.hypot(at[0] - plot.drag.from[0], at[1] - plot.drag.from[1]) > 5;
      if (plot.drag.moved) drawRubber(plot.drag.from, at);
      return;
    }
    const point = nearestPoint(...at);
    if (point) showTip(point.i);
    else hideTip();
  });
  area.addEventListener("pointerup", (event) => {
    const drag = plot.drag;
    plot.drag = null;
    if (!drag) return;
    if (drag.moved) zoomTo(drag.from, place(event));
    else {
      const point = nearestPoint(...place(event));
      if (point) choose(point.i);
    }
  });
  area.addEventListener("pointerleave", hideTip);
  area.addEventListener("dblclick", showAll);
  area.addEventListener(
    "wheel",
    (event) => {
      // without a key the wheel scrolls the page
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const at = scales();
      const [x, y] = place(event);
      zoom(event.deltaY < 0 ? 0.85 : 1 / 0.85, [at.x.back(x), at.y.back(y)]);
    },
    { passive: false },
  );
}

function drawRubber(from, to) {
  const box = {
    x: Math.min(from[0], to[0]),
    y: Math.min(from[1], to[1]),
    width: Math.abs(to[0] - from[0]),
    height: Math.abs(to[1] - from[1]),
  };
  for (const [name, value] of Object.entries(box)) byId("rubber").setAttribute(name, value);
}

function zoomTo(from, to) {
  if (Math.abs(to[0] - from[0]) < 8 || Math.abs(to[1] - from[1]) < 8) {
    drawLandscape();
    return;
  }
  const at = scales();
  const sorted = (p, q) => (p < q ? [p, q] : [q, p]);
  plot.window = { x: sorted(at.x.back(from[0]), at.x.back(to[0])), y: sorted(at.y.back(from[1]), at.y.back(to[1])) };
  drawLandscape();
}

function showTip(i) {
  const point = plot.points.find((p) => p.i === i);
  if (!point) return;
  const tip = byId("tip");
  const lines = [plot.x, plot.y].map((name) => `${QUANTITIES[name][0]} ${formatted(name, rows[name][i])} ${QUANTITIES[name][1]}`);
  if (rows.space_group[i]) lines.push(rows.space_group[i]);
  tip.replaceChildren(
    el("strong", {}, rows.rank[i] ? `${rows.rank[i]} · ${rows.name[i]}` : rows.name[i]),
    ...lines.map((line) => el("span", {}, line)),
    el("span", { class: "quiet" }, STATUS_TEXT[statusOf(i)]),
  );
  tip.hidden = false;
  const left = point.x + 16 + tip.offsetWidth > plot.width ? point.x - 16 - tip.offsetWidth : point.x + 16;
  tip.style.left = `${Math.max(0, left)}px`;
  tip.style.top = `${Math.min(Math.max(0, point.y - 20), plot.height - tip.offsetHeight)}px`;
}

function hideTip() {
  byId("tip").hidden = true;
}

/** The next point in a direction: near, and not far off to the side. */
function neighborIn(direction) {
  const inside = plot.points.filter(
    (p) => p.x >= MARGIN.left && p.x <= plot.width - MARGIN.right && p.y >= MARGIN.top && p.y <= plot.height - MARGIN.bottom,
  );
  const here = inside.find((p) => p.i === choice.structure) ?? plot.points.find((p) => p.i === choice.structure);
  if (!here) return inside[inside.length - 1] ?? null;
  let best = null;
  for (const p of inside) {
    const ahead = (p.x - here.x) * direction[0] + (p.y - here.y) * direction[1];
    const aside = Math.abs((p.x - here.x) * direction[1] - (p.y - here.y) * direction[0]);
    if (ahead < 0.5) continue;
    const cost = ahead + 2 * aside;
    if (!best || cost < best.cost) best = { cost, point: p };
  }
  return best?.point ?? null;
}

function keyOnLandscape(event) {
  const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (event.key in directions) {
    const point = neighborIn(directions[event.key]);
    if (point) {
      choose(point.i);
      showTip(point.i);
    }
  } else if (event.key === "+" || event.key === "=") zoom(0.7);
  else if (event.key === "-") zoom(1 / 0.7);
  else if (event.key === "0" || event.key === "Escape") showAll();
  else if (event.key === "Enter" || event.key === " ") byId("structure").scrollIntoView({ block: "nearest" });
  else return;
  event.preventDefault();
}
