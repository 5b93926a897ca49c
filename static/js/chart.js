// A run's loss curves: solid for training, dashed for held-out rows.
"use strict";
(() => {
  const place = document.querySelector("[data-chart]");
  if (!place) return;
  const CURVES = [
    { key: "train", label: "training", colour: "--run", width: 1.4, dash: [], dots: false },
    { key: "held_out", label: "held-out", colour: "--ink", width: 2, dash: [6, 4], dots: true },
  ];
  const ends = CURVES.map(({ label, colour }, n) => ({ column: n + 1, colour, words: (value) => `${label} ${value.toFixed(3)}` }));

  function read() {
    const source = document.getElementById(place.dataset.chart);
    const points = JSON.parse(source.dataset.series);
    return { data: lossCurves.columns(CURVES.map(({ key }) => points[key])), total: Number(source.dataset.total), series: CURVES, ends, told };
  }

  function told(data, index) {
    return CURVES.map(({ label }, n) => (data[n + 1][index] == null ? "" : `${label} ${data[n + 1][index].toFixed(4)}`)).filter(Boolean).join(", ");
  }

  lossCurves.draw(place, { height: 270, room: 116, gap: 14, weight: 400, toggle: document.getElementById("log-scale"), read });
})();
