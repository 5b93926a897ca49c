// Two models, one prompt: each column streams its answer and says how long it took.
"use strict";
(() => {
  const form = document.querySelector("[data-chat]");
  const prompt = document.getElementById("prompt");
  const sendButton = form.querySelector("[data-send]");
  const stopButton = form.querySelector("[data-stop]");
  const clearButton = document.querySelector("[data-chat-clear]");
  const expectedLine = form.querySelector("[data-expected-line]");
  const expectedText = form.querySelector("[data-expected-text]");
  const columns = [...document.querySelectorAll("[data-column]")].map((root) => ({
    root, model: root.querySelector("[data-model]"), talk: root.querySelector("[data-talk]"), figures: root.querySelector("[data-figures]"), turns: [],
  }));
  const state = () => document.getElementById("chat-state");
  const answers = () => state().dataset.answers === "yes";
  let stopper = null;
  let expected = "";

  function bubble(column, role, text = "") {
    column.talk.querySelector("[data-hint]")?.remove();
    const turn = document.createElement("div");
    turn.className = `turn ${role}`;
    const name = document.createElement("b");
    name.textContent = role;
    const said = document.createElement("div");
    said.className = "said";
    said.textContent = text;
    turn.append(name, said);
    column.talk.append(turn);
    column.talk.scrollTop = column.talk.scrollHeight;
    return { turn, said };
  }

  const number = (id) => Number(document.getElementById(id).value);
  function body(column, turns) {
    const system = document.getElementById("system").value.trim();
    return {
      model: column.model.value, messages: [...(system ? [{ role: "system", content: system }] : []), ...turns],
      temperature: number("temperature"), top_p: number("top_p"), max_tokens: Math.round(number("max_tokens")), seed: Math.round(number("seed")),
      stream: true, stream_options: { include_usage: true },
    };
  }

  async function* events(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest += value;
      const parts = rest.split(/\r?\n\r?\n/);
      rest = parts.pop();
      for (const part of parts) {
        const data = part.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim()).join("\n");
        if (data && data !== "[DONE]") yield JSON.parse(data);
      }
    }
  }

  async function refusal(response) {
    try { return (await response.json()).message; } catch { return `The studio answered with ${response.status}.`; }
  }

  const seconds = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);
  function tell(column, figures) {
    const { first, whole, usage, finish } = figures;
    const parts = [first == null ? "" : `first token ${seconds(first)}`, `whole answer ${seconds(whole)}`];
    if (usage) {
      // The first token also waits for the model to be loaded and the prompt to be read, so the pace is that of the rest.
      const speed = first != null && whole > first ? (usage.completion_tokens - 1) / ((whole - first) / 1000) : 0;
      parts.push(`${usage.completion_tokens} tokens${speed ? `, ${speed.toFixed(0)}/s` : ""}`, `prompt ${usage.prompt_tokens}`);
    }
    if (finish === "length") parts.push("cut at the longest answer");
    column.figures.replaceChildren(...parts.filter(Boolean).map((text) => { const span = document.createElement("span"); span.textContent = text; return span; }));
  }

  function judge(turn, text, wanted) {
    if (!wanted) return;
    const right = text.trim() === wanted.trim();
    const mark = document.createElement("span");
    mark.className = `small ${right ? "ok" : "bad"}`;
    mark.textContent = right ? "✓ exactly as expected" : "✗ not as expected";
    turn.append(mark);
  }

  async function ask(column, question, wanted, signal) {
    // A new conversation brings turns of its own; what still arrives then belongs to nothing on the page.
    const turns = column.turns;
    const isOver = () => column.turns !== turns;
    turns.push({ role: "user", content: question });
    bubble(column, "user", question);
    const { turn, said } = bubble(column, "assistant");
    turn.classList.add("busy");
    const began = performance.now();
    const figures = { first: null, whole: 0, usage: null, finish: null };
    let text = "";
    try {
      const response = await fetch(`${document.documentElement.dataset.root}/chat/answers`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body(column, turns)), signal });
      if (response.redirected) { location.reload(); return; } // signed out in the meantime
      if (!response.ok) throw new Error(await refusal(response));
      for await (const event of events(response)) {
        if (event.error) throw new Error(event.error.message);
        const choice = event.choices?.[0];
        const piece = choice?.delta?.content ?? "";
        if (piece && figures.first == null) figures.first = performance.now() - began;
        text += piece;
        if (piece) { said.textContent = text; column.talk.scrollTop = column.talk.scrollHeight; }
        figures.finish = choice?.finish_reason ?? figures.finish;
        figures.usage = event.usage ?? figures.usage;
      }
      turns.push({ role: "assistant", content: text });
      judge(turn, text, wanted);
    } catch (error) {
      const isStopped = error.name === "AbortError";
      // A question without an answer is no part of the conversation.
      if (isStopped && text) turns.push({ role: "assistant", content: text }); else turns.pop();
      said.textContent = !isStopped ? error.message : text ? `${text} …` : "Stopped.";
      turn.classList.toggle("failed", !isStopped);
    } finally {
      turn.classList.remove("busy");
      figures.whole = performance.now() - began;
      if (!isOver()) tell(column, figures);
    }
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const question = prompt.value.trim();
    if (!question || stopper || !answers()) return;
    const { signal } = stopper = new AbortController();
    const wanted = expected;
    sendButton.hidden = true;
    stopButton.hidden = false;
    clearButton.hidden = false;
    prompt.value = "";
    expected = "";
    // One after the other: on one machine they would only slow each other down, and latency would say nothing.
    for (const column of columns) if (!signal.aborted) await ask(column, question, wanted, signal);
    stopper = null;
    htmx.trigger(document.body, "answered");
    sendButton.hidden = false;
    stopButton.hidden = true;
    prompt.focus();
  });

  prompt.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); form.requestSubmit(); }
  });
  stopButton.addEventListener("click", () => stopper?.abort());
  function begin(column) {
    column.turns = [];
    column.talk.replaceChildren();
    column.figures.replaceChildren();
  }
  function clear() {
    stopper?.abort();
    columns.forEach(begin);
  }
  clearButton.addEventListener("click", clear);
  for (const column of columns) column.model.addEventListener("change", () => {
    stopper?.abort();
    // Another tuned model has another base, prompt and held-out rows: it has an address of its own.
    if (column.model.dataset.ownAddress) location.assign(column.model.dataset.ownAddress + encodeURIComponent(column.model.value));
    else begin(column);
  });
  form.addEventListener("click", (event) => {
    const example = event.target.closest("[data-question]");
    if (!example) return;
    clear();
    prompt.value = example.dataset.question;
    expected = example.dataset.expected;
    expectedText.textContent = expected;
    expectedLine.hidden = false;
    prompt.focus();
  });
  prompt.addEventListener("input", () => { expected = ""; expectedLine.hidden = true; });
  function offer() {
    sendButton.disabled = !answers();
    sendButton.title = answers() ? "" : state().textContent;
  }
  document.addEventListener("htmx:after:swap", offer);
  offer();
})();
