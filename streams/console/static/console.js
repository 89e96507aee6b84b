// Keeps a page up to date: the stream says that something changed, the page is asked again, its live part is replaced.
// Without this file every page works, and is reloaded by hand.
"use strict";
const banner = document.getElementById("banner");
const said = document.getElementById("said");
let waiting = false;
let loading = false;
let again = null;
// A page that takes longer is given up, and asked for with the next change.
const PATIENCE_MS = 20000;

// Nothing moves under the hands of somebody who chooses, types or has opened something.
function busy(live) {
  const at = document.activeElement;
  return live.contains(at) && /^(INPUT|SELECT|TEXTAREA)$/.test(at.tagName);
}

function replace(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("live");
  const live = document.getElementById("live");
  if (!fresh) return;
  const known = new Map([...live.querySelectorAll("tr[data-alert]")].map((row) => [row.dataset.alert, row.dataset.seq]));
  const open = [...live.querySelectorAll("details[open]")].map((one) => one.id);
  const focused = live.contains(document.activeElement) ? document.activeElement.id : "";
  live.replaceWith(fresh);
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  if (!known.size) return;
  const news = [...fresh.querySelectorAll("tr[data-alert]")].filter((row) => known.get(row.dataset.alert) !== row.dataset.seq);
  for (const row of news) row.classList.add("fresh");
}

async function refresh(force) {
  const live = document.getElementById("live");
  if (document.hidden || (!force && busy(live))) { waiting = true; return; }
  waiting = false;
  // One at a time: where pages are slower than changes come, each would else be given up for the next.
  if (loading) { again = again || force; return; }
  loading = true;
  again = null;
  try {
    const answer = await fetch(location.href, { signal: AbortSignal.timeout(PATIENCE_MS), redirect: "error" });
    const text = await answer.text();
    if (force || !busy(document.getElementById("live"))) replace(text); else waiting = true;
  } catch {
    waiting = true; // the console is away: the stream comes back with it
  }
  loading = false;
  if (again !== null) refresh(again);
}

document.addEventListener("visibilitychange", () => { if (waiting) refresh(false); });
document.addEventListener("focusout", () => setTimeout(() => { if (waiting) refresh(false); }, 200));

document.addEventListener("change", (event) => {
  const form = event.target.closest("form.filters");
  if (form) form.requestSubmit();
});

document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form.acts");
  if (!form) return;
  event.preventDefault();
  const data = new URLSearchParams(new FormData(form, event.submitter));
  for (const button of form.querySelectorAll("button")) button.disabled = true;
  said.textContent = "Sending";
  try {
    const answer = await fetch(form.action, { method: "POST", body: data });
    said.textContent = answer.ok ? "Sent; the alert changes when the worker has answered" : await answer.text();
  } catch {
    said.textContent = "Nothing was sent: the console does not answer";
  }
  said.classList.toggle("sr", said.textContent.startsWith("Sent"));
  refresh(true);
});

if (document.querySelector("nav")) {
  const stream = new EventSource("/live");
  const look = (event) => { if (document.getElementById("live").dataset.on === event.type) refresh(false); };
  for (const topic of ["alerts", "scores", "model", "pipeline"]) stream.addEventListener(topic, look);
  stream.addEventListener("status", (event) => {
    banner.hidden = !event.data;
    banner.querySelector("span").textContent = event.data;
  });
  stream.addEventListener("error", () => {
    banner.hidden = false;
    banner.querySelector("span").textContent = "The console does not answer.";
  });
}
