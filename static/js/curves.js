// One drawing of losses, for the page of a run and for runs side by side: names at the lines' ends, values under the cursor, a log scale.
"use strict";
(() => {
  const LINEAR = 1;
  const LOGARITHMIC = 3;

  const lastOf = (values) => values.findLastIndex((value) => value != null);
  const low = (from, to) => (from > to * 0.3 ? Math.max(0, from - (to - from) * 0.15) : 0);

  // Curves as [steps, values] each, on all their steps together: one column a curve, with gaps.
  function columns(curves) {
    const steps = [...new Set(curves.flatMap(([where]) => where))].sort((a, b) => a - b);
    const at = new Map(steps.map((step, index) => [step, index]));
    return [steps, ...curves.map(([where, values]) => {
      const found = new Array(steps.length).fill(undefined);
      where.forEach((step, index) => { found[at.get(step)] = values[index]; });
      return found;
    })];
  }

  // `read` returns what to draw now: { data: steps and columns, total: the last step, series: one a column with its colour's token,
  // ends: { column, colour, words(value) } a name, told(data, index): the words under the cursor }.
  function draw(place, { height, room, gap, weight, toggle, read }) {
    // light-dark() is no colour a canvas knows: an element's computed style has the one that counts now.
    const probe = document.createElement("i");
    probe.hidden = true;
    place.after(probe);
    const token = (name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };
    const mono = getComputedStyle(document.documentElement).getPropertyValue("--mono");
    const line = document.createElement("p");
    line.className = "chart-cursor small mono";
    place.append(line);
    let chart = null;
    let shown = null;
    let isLog = false;

    // Names stand where the lines end, apart enough to be read.
    function names(u) {
      const ratio = devicePixelRatio;
      const ends = shown.ends.map(({ column, colour, words }) => {
        const values = u.data[column];
        const last = lastOf(values);
        return last < 0 ? null : { colour, words: words(values[last]), x: u.valToPos(u.data[0][last], "x", true), y: u.valToPos(values[last], "y", true) };
      }).filter(Boolean).sort((a, b) => a.y - b.y);
      for (let n = 1; n < ends.length; n += 1) ends[n].y = Math.max(ends[n].y, ends[n - 1].y + gap * ratio);
      const beyond = ends.length ? ends[ends.length - 1].y - (u.bbox.top + u.bbox.height - 4 * ratio) : 0;
      if (beyond > 0) for (const end of ends) end.y -= beyond;
      const context = u.ctx;
      context.save();
      context.font = `${weight} ${12 * ratio}px ${mono}`;
      context.textBaseline = "middle";
      context.textAlign = "left";
      context.lineWidth = 4 * ratio;
      context.strokeStyle = token("--panel");
      for (const end of ends) {
        context.fillStyle = token(end.colour);
        const left = Math.min(end.x + 8 * ratio, u.bbox.left + u.bbox.width + 6 * ratio);
        // A halo, since another line may go on beneath.
        context.strokeText(end.words, left, end.y);
        context.fillText(end.words, left, end.y);
      }
      context.restore();
    }

    function underCursor(u) {
      const words = u.cursor.idx == null ? "" : shown.told(u.data, u.cursor.idx);
      line.textContent = words && `step ${u.data[0][u.cursor.idx]}: ${words}`;
    }

    function options() {
      const axis = { stroke: () => token("--ink-3"), font: `12px ${mono}`, ticks: { show: false }, labelFont: `12px ${mono}`, labelSize: 18 };
      const linear = (u, from, to) => [low(from, to), to + (to - from || 1) * 0.06];
      return {
        width: place.clientWidth, height, padding: [16, room, 0, 0], legend: { show: false }, cursor: { y: false, points: { size: 6 } },
        scales: { x: { time: false, range: () => [0, Math.max(1, shown.total)] }, y: isLog ? { distr: LOGARITHMIC } : { distr: LINEAR, range: linear } },
        axes: [
          { ...axis, grid: { show: false }, size: 24, label: "steps", values: (u, ticks) => ticks.map((t) => (Number.isInteger(t) ? t : "")) },
          { ...axis, grid: { stroke: () => token("--line"), width: 1 }, size: 52, label: isLog ? "loss, log scale" : "loss (lower is better)" },
        ],
        series: [{}, ...shown.series.map(({ colour, dots, ...kind }) => ({
          ...kind, spanGaps: true, stroke: () => token(colour), points: { show: dots, size: 4, fill: () => token(colour) },
        }))],
        hooks: { draw: [names], setCursor: [underCursor] },
      };
    }

    function update(anew) {
      shown = read();
      const isEmpty = shown.data[0].length === 0;
      place.hidden = isEmpty;
      toggle.hidden = isEmpty;
      if (isEmpty) return;
      if (chart && !anew) { chart.setData(shown.data); return; }
      chart?.destroy();
      chart = new uPlot(options(), shown.data, place);
    }

    toggle.addEventListener("click", () => {
      isLog = !isLog;
      toggle.setAttribute("aria-pressed", String(isLog));
      update(true);
    });
    document.addEventListener("htmx:after:swap", () => update(false));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => chart?.redraw());
    new ResizeObserver(() => { if (chart && place.clientWidth && place.clientWidth !== chart.width) chart.setSize({ width: place.clientWidth, height }); }).observe(place);
    place.hidden = false;
    update(true);
  }

  window.lossCurves = { columns, draw };
})();
