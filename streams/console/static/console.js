// Keeps a page current: when the stream reports a change, loads the page again and replaces its live part.
// Without this script every page works, but must be reloaded by hand.
"use strict";
const banner = document.getElementById("banner");
const notice = document.getElementById("notice");
let stale = false; // a change was reported that the page does not show yet
let loading = false;
let queued = null; // whether the queued refresh is forced; null for none
// A request that takes longer is cancelled, and repeated with the next change.
const TIMEOUT_MS = 20000;

// Do not replace a form field that the person is using.
function busy(live) {
  const focused = document.activeElement;
  return live.contains(focused) && /^(INPUT|SELECT|TEXTAREA)$/.test(focused.tagName);
}

function replace(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("live");
  const live = document.getElementById("live");
  if (!fresh) return;
  const known = new Map([...live.querySelectorAll("tr[data-alert]")].map((row) => [row.dataset.alert, row.dataset.seq]));
  const open = [...live.querySelectorAll("details[open]")].map((details) => details.id);
  const active = live.contains(document.activeElement) ? document.activeElement : null;
  const summaryOf = active?.matches("summary") ? active.parentElement.id : "";
  live.replaceWith(fresh);
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  const focus = summaryOf ? document.querySelector(`#${summaryOf} > summary`) : active?.id && document.getElementById(active.id);
  if (focus) focus.focus({ preventScroll: true });
  if (!known.size) return;
  const changed = [...fresh.querySelectorAll("tr[data-alert]")].filter((row) => known.get(row.dataset.alert) !== row.dataset.seq);
  for (const row of changed) row.classList.add("fresh");
}

async function refresh(force) {
  const live = document.getElementById("live");
  if (document.hidden || (!force && busy(live))) { stale = true; return; }
  stale = false;
  // One request at a time. Otherwise, with changes faster than responses, none would ever complete.
  if (loading) { queued = queued || force; return; }
  loading = true;
  queued = null;
  try {
    const response = await fetch(location.href, { signal: AbortSignal.timeout(TIMEOUT_MS), redirect: "error" });
    const text = await response.text();
    if (force || !busy(document.getElementById("live"))) replace(text); else stale = true;
  } catch {
    stale = true; // the console is unreachable; the stream reconnects when it returns
  }
  loading = false;
  if (queued !== null) refresh(queued);
}

document.addEventListener("visibilitychange", () => { if (stale) refresh(false); });
document.addEventListener("focusout", () => setTimeout(() => { if (stale) refresh(false); }, 200));

document.addEventListener("change", (event) => {
  const form = event.target.closest("form.filters");
  if (form) form.requestSubmit();
});

// Screen readers announce every notice; only problems are visible.
function showNotice(text, visible) {
  notice.textContent = text;
  notice.classList.toggle("sr", !visible);
}

document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form.acts");
  if (!form) return;
  event.preventDefault();
  const data = new URLSearchParams(new FormData(form, event.submitter));
  for (const button of form.querySelectorAll("button")) button.disabled = true;
  showNotice("Sending", false);
  try {
    const response = await fetch(form.action, { method: "POST", body: data });
    if (response.ok) showNotice("Sent. The alert changes when the worker has applied it.", false);
    else showNotice(await response.text(), true);
  } catch {
    showNotice("The action was not sent, because the console is unreachable. Try again.", true);
  }
  refresh(true);
});

if (document.querySelector("nav")) {
  const stream = new EventSource("/live");
  const onChange = (event) => { if (document.getElementById("live").dataset.on === event.type) refresh(false); };
  for (const topic of ["alerts", "scores", "model", "pipeline"]) stream.addEventListener(topic, onChange);
  stream.addEventListener("status", (event) => {
    banner.hidden = !event.data;
    banner.querySelector("span").textContent = event.data;
  });
  stream.addEventListener("error", () => {
    banner.hidden = false;
    banner.querySelector("span").textContent = "The console is unreachable.";
  });
}
