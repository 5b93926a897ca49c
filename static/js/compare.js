// Several runs in one drawing: thick for held-out rows, thin for training; each run's colour, line style and letter are its own.
"use strict";
(() => {
  const place = document.getElementById("compare-drawing");
  if (!place) return;
  const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [15, 5], [4, 4, 1, 4]];
  const say = (value) => (value == null ? "–" : value.toFixed(3));
  // Runs are checked at different steps: the cursor tells each one's newest value up to where it points.
  const until = (values, index) => values.slice(0, index + 1).findLast((value) => value != null);

  function read() {
    const runs = JSON.parse(document.getElementById("compare-points").dataset.series);
    const data = lossCurves.columns(runs.flatMap((run) => [run.train, run.held_out]));
    const colour = (n) => `--series-${n + 1}`;
    return {
      data, total: data[0].at(-1),
      series: runs.flatMap((run, n) => [
        { label: `${run.letter} training`, colour: colour(n), width: 0.8, alpha: 0.55, dash: DASHES[n], dots: false },
        { label: `${run.letter} held-out`, colour: colour(n), width: 2.4, dash: DASHES[n], dots: true },
      ]),
      // A run's letter and last value stand where its thick line ends, or its thin one while there is no other.
      ends: runs.map((run, n) => ({ column: 2 * n + (run.held_out[0].length ? 2 : 1), colour: colour(n), words: (value) => `${run.letter} ${say(value)}` })),
      told: (columns, index) => runs.map((run, n) => `${run.letter} ${say(until(columns[2 * n + 2], index))} (${say(until(columns[2 * n + 1], index))})`).join("  "),
    };
  }

  lossCurves.draw(place, { height: 320, room: 76, gap: 15, weight: 600, toggle: document.getElementById("log-scale"), read });
})();
