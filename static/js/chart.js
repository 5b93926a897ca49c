// The loss curves: solid for training, dashed for held-out rows, their names at the lines' ends, values under the cursor.
"use strict";
(() => {
  const HEIGHT = 270;
  const LABEL_ROOM = 116;
  const LABEL_GAP = 14;
  const place = document.querySelector("[data-chart]");
  if (!place) return;

  const CURVES = [
    { key: "train", name: "training", colour: "--run", width: 1.4, dash: [] },
    { key: "held_out", name: "held-out", colour: "--ink", width: 2, dash: [6, 4] },
  ];
  const token = (name) => resolved(`var(${name})`);
  // light-dark() is no colour a canvas knows: an element's computed style has the one that counts now.
  const probe = document.createElement("i");
  probe.hidden = true;
  place.after(probe);
  function resolved(value) { probe.style.color = value; return getComputedStyle(probe).color; }
  const mono = getComputedStyle(document.documentElement).getPropertyValue("--mono");

  function read() {
    const source = document.getElementById(place.dataset.chart);
    const series = JSON.parse(source.dataset.series);
    const steps = [...new Set(CURVES.flatMap((curve) => series[curve.key][0]))].sort((a, b) => a - b);
    const at = new Map(steps.map((step, index) => [step, index]));
    const columns = CURVES.map((curve) => {
      const values = new Array(steps.length).fill(undefined);
      series[curve.key][0].forEach((step, index) => { values[at.get(step)] = series[curve.key][1][index]; });
      return values;
    });
    return { data: [steps, ...columns], total: Math.max(1, Number(source.dataset.total)), isEmpty: steps.length === 0 };
  }

  const say = (value) => (value == null ? "–" : value.toFixed(3));

  // Names stand where the lines end, apart enough to be read.
  function names(u) {
    const ratio = devicePixelRatio;
    const ends = CURVES.map((curve, n) => {
      const values = u.data[n + 1];
      let last = values.length - 1;
      while (last >= 0 && values[last] == null) last -= 1;
      return last < 0 ? null : { curve, value: values[last], x: u.valToPos(u.data[0][last], "x", true), y: u.valToPos(values[last], "y", true) };
    }).filter(Boolean).sort((a, b) => a.y - b.y);
    for (let n = 1; n < ends.length; n += 1) ends[n].y = Math.max(ends[n].y, ends[n - 1].y + LABEL_GAP * ratio);
    const beyond = ends.length ? ends[ends.length - 1].y - (u.bbox.top + u.bbox.height - 4 * ratio) : 0;
    if (beyond > 0) for (const end of ends) end.y -= beyond;
    const context = u.ctx;
    context.save();
    context.font = `${12 * ratio}px ${mono}`;
    context.textBaseline = "middle";
    context.textAlign = "left";
    for (const end of ends) {
      context.fillStyle = token(end.curve.colour);
      context.fillText(`${end.curve.name} ${say(end.value)}`, Math.min(end.x + 8 * ratio, u.bbox.left + u.bbox.width + 6 * ratio), end.y);
    }
    context.restore();
  }

  function cursorLine(u) {
    const line = place.querySelector(".chart-cursor");
    const index = u.cursor.idx;
    if (index == null) { line.textContent = ""; return; }
    const values = CURVES.map((curve, n) => (u.data[n + 1][index] == null ? "" : `${curve.name} ${u.data[n + 1][index].toFixed(4)}`)).filter(Boolean);
    line.textContent = `step ${u.data[0][index]}: ${values.join(", ")}`;
  }

  let chart = null;
  let total = 1;
  function draw() {
    const { data, total: steps, isEmpty } = read();
    total = steps;
    place.hidden = isEmpty;
    if (isEmpty) return;
    if (chart) { chart.setData(data); return; }
    const line = document.createElement("p");
    line.className = "chart-cursor small mono";
    place.append(line);
    const axis = { stroke: () => token("--ink-3"), font: `12px ${mono}`, ticks: { show: false }, labelFont: `12px ${mono}`, labelSize: 18 };
    chart = new uPlot({
      width: place.clientWidth, height: HEIGHT, padding: [12, LABEL_ROOM, 0, 0], legend: { show: false },
      cursor: { y: false, points: { size: 6 } },
      scales: { x: { time: false, range: () => [0, total] }, y: { range: (u, low, high) => [low > high * 0.3 ? Math.max(0, low - (high - low) * 0.15) : 0, high + (high - low || 1) * 0.06] } },
      axes: [
        { ...axis, grid: { show: false }, size: 24, label: "steps", values: (u, ticks) => ticks.map((t) => (Number.isInteger(t) ? t : "")) },
        { ...axis, grid: { stroke: () => token("--line"), width: 1 }, size: 46, label: "loss (lower is better)" },
      ],
      series: [{}, ...CURVES.map((curve) => ({ label: curve.name, stroke: () => token(curve.colour), width: curve.width, dash: curve.dash, spanGaps: true, points: { show: curve.key === "held_out", size: 4, fill: () => token(curve.colour) } }))],
      hooks: { draw: [names], setCursor: [cursorLine] },
    }, data, place);
    new ResizeObserver(() => { if (place.clientWidth && place.clientWidth !== chart.width) chart.setSize({ width: place.clientWidth, height: HEIGHT }); }).observe(place);
  }

  document.addEventListener("htmx:after:swap", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => chart?.redraw());
  place.hidden = false;
  draw();
})();
