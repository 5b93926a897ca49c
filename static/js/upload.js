// Files dropped anywhere on the page, or chosen, are sent while a bar shows how far they are. Without this script the form does the same, barless.
"use strict";
(() => {
  const form = document.querySelector("form[data-upload]");
  const input = form.querySelector("input[type=file]");
  const progress = form.querySelector("[data-upload-progress]");
  const bar = progress.querySelector("progress");
  const words = form.querySelector("[data-upload-words]");
  const error = form.querySelector("[data-upload-error]");
  const note = form.querySelector("[data-upload-note]");
  const cancel = form.querySelector("[data-upload-cancel]");
  // A file is sent as soon as it is chosen; the button is for readers without scripts, and for a file chosen before this one was there.
  form.querySelector("[data-upload-send]").hidden = !input.files.length;
  const limit = Number(form.dataset.maxBytes);
  const { root } = document.documentElement.dataset;
  let sending = null;

  // As the server says it (app/domain/figures.py): one decimal below a hundred of a unit.
  const UNITS = ["B", "kB", "MB", "GB", "TB"];
  const inBytes = (size, unit = 0) => (size >= 999.5 && unit < UNITS.length - 1 ? inBytes(size / 1000, unit + 1) : `${size.toFixed(unit && size < 99.95 ? 1 : 0)} ${UNITS[unit]}`);

  const warn = (event) => event.preventDefault();
  function say(place, text) {
    place.textContent = text;
    place.hidden = !text;
  }
  function free() {
    sending = null;
    removeEventListener("beforeunload", warn);
    progress.hidden = true;
    input.value = "";
  }
  function refuse(text) {
    free();
    say(error, text);
  }
  function leaveFor(address) {
    removeEventListener("beforeunload", warn);
    if (address) location.assign(address); else location.reload();
  }

  const choice = form.querySelector("[data-upload-choice]");
  let waiting = [];
  const named = (files) => (files.length === 1 ? files[0].name : `${files.length} files`);

  function take(files) {
    if (sending) {
      input.value = "";
      say(note, `${sending.name} is still being sent. Bring the next when it is here, or cancel this one.`);
      return;
    }
    say(note, "");
    waiting = [...files];
    choice.hidden = waiting.length < 2;
    if (waiting.length < 2) { send(waiting, leaveFor); return; }
    choice.querySelector("[data-upload-several]").textContent = `${waiting.length} files: ${waiting.slice(0, 3).map((file) => file.name).join(", ")}${waiting.length > 3 ? " …" : ""}`;
    choice.querySelector("[data-upload-together]").focus();
  }

  // One after the other; the list shows them all at the end.
  function sendEach(files) {
    const [first, ...rest] = files;
    send([first], () => { if (rest.length) sendEach(rest); else leaveFor(form.action); });
  }

  function send(files, then) {
    say(error, "");
    choice.hidden = true;
    const name = named(files);
    const size = files.reduce((sum, file) => sum + file.size, 0);
    const empty = files.find((file) => file.size === 0);
    if (size > limit) return refuse(`${name}: ${inBytes(size)}; this studio takes up to ${inBytes(limit)}.`);
    if (empty) return refuse(`${empty.name} is empty.`);
    bar.value = 0;
    words.textContent = `${name}: being sent`;
    progress.hidden = false;
    const began = performance.now();
    const body = new FormData();
    for (const file of files) body.append("file", file, file.name);
    const request = new XMLHttpRequest();
    sending = { name, request };
    addEventListener("beforeunload", warn);
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "application/json");
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => {
      if (!event.lengthComputable) return;
      bar.value = event.loaded / event.total;
      const speed = event.loaded / Math.max(0.001, (performance.now() - began) / 1000);
      words.textContent = event.loaded < event.total
        ? `${name}: ${inBytes(event.loaded)} of ${inBytes(event.total)}, ${inBytes(speed)}/s`
        : `${name}: all of it is here, being put away`;
    });
    request.addEventListener("load", () => {
      if (request.status === 201 && request.response) { free(); then(root + request.response.href); }
      else if (request.status === 401 || new URL(request.responseURL).pathname === `${root}/signin`) leaveFor("");
      else refuse(request.response?.message || `${name} was not taken: the studio answered with ${request.status}. Try again in a moment.`);
    });
    request.addEventListener("abort", () => { free(); say(note, `${name} was not sent: you cancelled it.`); });
    // A server that refuses at the first bytes may close the line before the rest is sent.
    request.addEventListener("error", () => refuse(`${name} could not be sent: the studio closed the line. It may be of a kind it does not take, or the studio has ended.`));
    request.send(body);
  }

  form.addEventListener("submit", (event) => {
    if (!input.files.length) return;
    event.preventDefault();
    take(input.files);
  });
  input.addEventListener("change", () => { if (input.files.length) take(input.files); });
  choice.querySelector("[data-upload-together]").addEventListener("click", () => send(waiting, leaveFor));
  choice.querySelector("[data-upload-each]").addEventListener("click", () => sendEach(waiting));
  cancel.addEventListener("click", () => sending?.request.abort());

  let depth = 0;
  const carriesFile = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
  const mark = () => document.body.classList.toggle("dropping", depth > 0);
  document.addEventListener("dragenter", (event) => { if (carriesFile(event)) { event.preventDefault(); depth += 1; mark(); } });
  document.addEventListener("dragleave", (event) => { if (carriesFile(event)) { depth = Math.max(0, depth - 1); mark(); } });
  document.addEventListener("dragover", (event) => { if (carriesFile(event)) event.preventDefault(); });
  document.addEventListener("drop", (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    depth = 0;
    mark();
    if (event.dataTransfer.files.length) take(event.dataTransfer.files);
  });
})();
