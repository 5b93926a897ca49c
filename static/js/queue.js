// The waiting runs of the board: dragged to another place with mouse or finger; the buttons beside them do the same without.
"use strict";
(() => {
  const EDGE_PX = 70;
  const SCROLL_PX = 9;
  let drag = null;
  let pressed = null;
  let missed = false;
  let undo = null;
  document.documentElement.classList.add("can-drag");

  const others = () => [...document.querySelectorAll("tr[data-waits]")].filter((row) => row !== drag.row);
  const middle = (row) => { const box = row.getBoundingClientRect(); return (box.top + box.bottom) / 2; };

  // The row follows the finger, and a line shows where it would go: nothing moves in the page until it is let go.
  function draw() {
    if (!drag) return;
    if (drag.y < EDGE_PX) scrollBy(0, -SCROLL_PX);
    if (drag.y > innerHeight - EDGE_PX) scrollBy(0, SCROLL_PX);
    drag.row.style.transform = `translateY(${drag.y + scrollY - drag.from}px)`;
    const rows = others();
    const at = rows.findIndex((row) => middle(row) > drag.y);
    const next = at < 0 ? null : rows[at];
    const before = at < 0 ? rows.at(-1) : rows[at - 1];
    for (const row of rows) {
      row.classList.toggle("drop-before", row === next);
      row.classList.toggle("drop-after", !next && row === before);
    }
    drag.place = { next, before };
    drag.frame = requestAnimationFrame(draw);
  }

  function letGo() {
    const was = drag;
    drag = null;
    cancelAnimationFrame(was.frame);
    was.row.style.transform = "";
    was.row.classList.remove("dragged");
    document.body.classList.remove("dragging");
    for (const row of document.querySelectorAll(".drop-before, .drop-after")) row.classList.remove("drop-before", "drop-after");
    if (missed) again();
    return was;
  }
  function again() {
    missed = false;
    htmx.trigger(document.body, "runs-changed");
  }

  // What was not done is not shown as done, also where nothing answers any more.
  const isOurs = (event) => event.detail.ctx?.sourceElement?.id === "queue-form";
  function failed() {
    undo?.();
    undo = null;
    again();
  }

  document.addEventListener("pointerdown", (event) => {
    const grip = event.target instanceof Element && event.target.closest(".grip");
    if (!grip || event.button || drag) return;
    event.preventDefault();
    grip.setPointerCapture(event.pointerId);
    const row = grip.closest("tr");
    row.classList.add("dragged");
    document.body.classList.add("dragging");
    drag = { row, pointer: event.pointerId, y: event.clientY, from: event.clientY + scrollY, place: null };
    draw();
  });
  document.addEventListener("pointermove", (event) => { if (drag?.pointer === event.pointerId) drag.y = event.clientY; });
  document.addEventListener("pointercancel", (event) => { if (drag?.pointer === event.pointerId) letGo(); });
  document.addEventListener("keydown", (event) => { if (drag && event.key === "Escape") letGo(); });
  document.addEventListener("pointerup", (event) => {
    if (drag?.pointer !== event.pointerId) return;
    drag.y = event.clientY;
    cancelAnimationFrame(drag.frame);
    draw();
    const { row, place: { next, before } } = letGo();
    const waits = [...document.querySelectorAll("tr[data-waits]")];
    const here = waits.indexOf(row);
    if ((next ?? before) === undefined || (next ?? null) === (waits[here + 1] ?? null)) return;
    send(row, next ? ["before", next] : ["after", before]);
    const [place, after] = [row.parentNode, row.nextSibling];
    undo = () => { if (row.isConnected && (!after || after.parentNode === place)) place.insertBefore(row, after); };
    if (next) next.before(row); else before.after(row);
  });

  function send(row, [name, neighbour]) {
    const form = document.getElementById("queue-form");
    for (const [field, value] of [["moved", row.dataset.run], [name, neighbour.dataset.run]]) {
      const input = Object.assign(document.createElement("input"), { type: "hidden", name: field, value });
      form.append(input);
      setTimeout(() => input.remove());
    }
    form.requestSubmit();
  }

  // What rings while something is in the hand waits until it is let go.
  document.addEventListener("htmx:before:request", (event) => {
    if (!drag || !event.detail.ctx.sourceElement.matches(".refetch")) return;
    event.preventDefault();
    missed = true;
  });
  document.addEventListener("htmx:before:swap", (event) => {
    if (!drag || event.detail.ctx.target?.id !== "board-now") return;
    event.preventDefault();
    missed = true;
  });

  // Whoever pressed a button goes on from the same one, wherever its row stands now; what failed is shown as it is.
  document.addEventListener("submit", (event) => {
    const button = event.submitter;
    pressed = button?.closest(".moves") ? { row: button.closest("tr").id, name: button.name } : null;
    event.target.closest(".menu")?.removeAttribute("open");
    button?.closest(".menu")?.removeAttribute("open");
  });
  document.addEventListener("htmx:after:swap", (event) => {
    if (!isOurs(event)) return;
    if (event.detail.ctx.hx?.retarget) failed(); // a failure of the server comes as 200 with a notice
    undo = null;
    if (!pressed || event.detail.ctx.target?.id !== "board-now") return;
    document.getElementById(pressed.row)?.querySelector(`[name=${pressed.name}]`)?.focus();
    pressed = null;
  });
  document.addEventListener("htmx:response:error", (event) => { if (isOurs(event)) failed(); });
  document.addEventListener("htmx:error", (event) => { if (isOurs(event)) failed(); });

  // A menu closes when one goes elsewhere.
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll(".menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });
})();
