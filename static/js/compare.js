// Several runs in one drawing: thick for held-out rows, thin for training; each run's colour, line style and letter are its own.
"use strict";
(() => {
  const HEIGHT = 320;
  const LABEL_ROOM = 76;
  const LABEL_GAP = 15;
  const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [15, 5], [4, 4, 1, 4]];
  const LINEAR = 1;
  const LOGARITHMIC = 3;
  const place = document.getElementById("compare-drawing");
  const toggle = document.getElementById("log-scale");
  if (!place) return;

  // light-dark() is no colour a canvas knows: an element's computed style has the one that counts now.
  const probe = document.createElement("i");
  probe.hidden = true;
  place.after(probe);
  function token(name) { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; }
  const mono = getComputedStyle(document.documentElement).getPropertyValue("--mono");
  const colour = (n) => token(`--series-${n + 1}`);
  const say = (value) => (value == null ? "–" : value.toFixed(3));

  function read() {
    const runs = JSON.parse(document.getElementById("compare-points").dataset.series);
    const steps = [...new Set(runs.flatMap((run) => [...run.train[0], ...run.held_out[0]]))].sort((a, b) => a - b);
    const at = new Map(steps.map((step, index) => [step, index]));
    const column = ([where, values]) => {
      const found = new Array(steps.length).fill(undefined);
      where.forEach((step, index) => { found[at.get(step)] = values[index]; });
      return found;
    };
    return { runs, data: [steps, ...runs.flatMap((run) => [column(run.train), column(run.held_out)])] };
  }

  // A run's letter and last value stand where its thick line ends, or its thin one while there is no other.
  function names(u) {
    const ratio = devicePixelRatio;
    const ends = runs.map((run, n) => {
      const values = run.held_out[0].length ? u.data[2 * n + 2] : u.data[2 * n + 1];
      let last = values.length - 1;
      while (last >= 0 && values[last] == null) last -= 1;
      return last < 0 ? null : { n, run, value: values[last], x: u.valToPos(u.data[0][last], "x", true), y: u.valToPos(values[last], "y", true) };
    }).filter(Boolean).sort((a, b) => a.y - b.y);
    for (let n = 1; n < ends.length; n += 1) ends[n].y = Math.max(ends[n].y, ends[n - 1].y + LABEL_GAP * ratio);
    const beyond = ends.length ? ends[ends.length - 1].y - (u.bbox.top + u.bbox.height - 4 * ratio) : 0;
    if (beyond > 0) for (const end of ends) end.y -= beyond;
    const context = u.ctx;
    context.save();
    context.font = `600 ${12 * ratio}px ${mono}`;
    context.textBaseline = "middle";
    context.textAlign = "left";
    context.lineWidth = 4 * ratio;
    context.strokeStyle = token("--panel");
    for (const end of ends) {
      context.fillStyle = colour(end.n);
      const words = `${end.run.letter} ${say(end.value)}`;
      const left = Math.min(end.x + 8 * ratio, u.bbox.left + u.bbox.width + 6 * ratio);
      // A halo, since another run's line may go on beneath.
      context.strokeText(words, left, end.y);
      context.fillText(words, left, end.y);
    }
    context.restore();
  }

  // Runs are checked at different steps: the cursor tells each one's newest value up to where it points.
  const until = (values, index) => { for (let n = index; n >= 0; n -= 1) if (values[n] != null) return values[n]; return null; };
  function cursorLine(u) {
    const index = u.cursor.idx;
    const told = index == null ? [] : runs.map((run, n) => `${run.letter} ${say(until(u.data[2 * n + 2], index))} (${say(until(u.data[2 * n + 1], index))})`);
    line.textContent = told.length ? `step ${u.data[0][index]}: ${told.join("  ")}` : "";
  }

  const line = document.createElement("p");
  line.className = "chart-cursor small mono";
  place.append(line);
  let chart = null;
  let runs = [];
  let isLog = false;

  function options(data) {
    const axis = { stroke: () => token("--ink-3"), font: `12px ${mono}`, ticks: { show: false }, labelFont: `12px ${mono}`, labelSize: 18 };
    const linear = (u, low, high) => [low > high * 0.3 ? Math.max(0, low - (high - low) * 0.15) : 0, high + (high - low || 1) * 0.06];
    const curves = runs.flatMap((run, n) => [
      { label: `${run.letter} training`, stroke: () => colour(n), width: 0.8, alpha: 0.55, dash: DASHES[n], spanGaps: true, points: { show: false } },
      { label: `${run.letter} held-out`, stroke: () => colour(n), width: 2.4, dash: DASHES[n], spanGaps: true, points: { show: true, size: 4, fill: () => colour(n) } },
    ]);
    return {
      width: place.clientWidth, height: HEIGHT, padding: [16, LABEL_ROOM, 0, 0], legend: { show: false }, cursor: { y: false, points: { size: 6 } },
      scales: { x: { time: false, range: () => [0, Math.max(1, data[0][data[0].length - 1])] }, y: isLog ? { distr: LOGARITHMIC } : { distr: LINEAR, range: linear } },
      axes: [
        { ...axis, grid: { show: false }, size: 24, label: "steps", values: (u, ticks) => ticks.map((t) => (Number.isInteger(t) ? t : "")) },
        { ...axis, grid: { stroke: () => token("--line"), width: 1 }, size: 52, label: isLog ? "loss, log scale" : "loss (lower is better)" },
      ],
      series: [{}, ...curves],
      hooks: { draw: [names], setCursor: [cursorLine] },
    };
  }

  function draw(anew) {
    const found = read();
    runs = found.runs;
    const isEmpty = found.data[0].length === 0;
    place.hidden = isEmpty;
    toggle.hidden = isEmpty;
    if (isEmpty) return;
    if (chart && !anew) { chart.setData(found.data); return; }
    if (chart) chart.destroy();
    chart = new uPlot(options(found.data), found.data, place);
  }

  toggle.addEventListener("click", () => {
    isLog = !isLog;
    toggle.setAttribute("aria-pressed", String(isLog));
    draw(true);
  });
  document.addEventListener("htmx:after:swap", () => draw(false));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => chart?.redraw());
  new ResizeObserver(() => { if (chart && place.clientWidth && place.clientWidth !== chart.width) chart.setSize({ width: place.clientWidth, height: HEIGHT }); }).observe(place);
  place.hidden = false;
  draw(true);
})();
