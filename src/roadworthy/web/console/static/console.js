// Keys for rows, a button that copies, and a refresh every 30 seconds. Every page reads and works without this file.
"use strict";

const EVERY_MS = 30000;
const FIELDS = "input, select, textarea, [contenteditable]";

const hasKeys = () => localStorage.getItem("keys") !== "off";
const rows = () => [...document.querySelectorAll(".rows tbody tr")];

function move(by) {
  const all = rows();
  const here = all.findIndex((row) => row.contains(document.activeElement));
  const next = all[Math.min(Math.max(here + by, 0), all.length - 1)];
  const link = next && next.querySelector("a");
  if (link) {
    link.focus();
    next.scrollIntoView({ block: "nearest" });
  }
}

// A key presses its button; where that is off, it leads to the field that turns it on.
function press(key) {
  const button = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (!button) return false;
  if (!button.disabled) button.click();
  else if (button.dataset.else) document.getElementById(button.dataset.else).focus();
  return true;
}

document.addEventListener("keydown", (event) => {
  const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey && !event.repeat;
  if (event.key === "Escape" && event.target.matches("textarea")) event.target.blur();
  if (!isPlain || !hasKeys() || event.target.closest(FIELDS)) return;
  if (press(event.key.toLowerCase())) event.preventDefault();
  else if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
});

// The page is asked for again and its main part exchanged, so that place and focus stay.
async function refresh() {
  const main = document.querySelector("main[data-live]");
  const active = document.activeElement;
  if (!main || document.hidden || active.matches(FIELDS)) return;
  let answer;
  try {
    answer = await fetch(location.href, { headers: { accept: "text/html" } });
  } catch {
    return; // the server is away; the stamp says how old this is
  }
  if (answer.redirected || answer.status === 401) return location.reload();
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.querySelector("main");
  if (!fresh || document.activeElement.matches(FIELDS)) return;
  const open = [...main.querySelectorAll("details")].map((part) => part.open);
  const href = main.contains(active) && active.getAttribute("href");
  main.replaceChildren(...fresh.childNodes);
  [...main.querySelectorAll("details")].forEach((part, at) => (part.open = open[at]));
  const again = href && [...main.querySelectorAll("a")].find((a) => a.getAttribute("href") === href);
  if (again) again.focus({ preventScroll: true });
}

// A button that copies a field stands there only where a script can do it.
for (const button of document.querySelectorAll("[data-copy]")) {
  const field = document.getElementById(button.dataset.copy);
  const said = button.parentElement.querySelector("[role=status]");
  button.hidden = false;
  button.addEventListener("click", async () => {
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
    } catch {
      document.execCommand("copy"); // over plain HTTP from another machine there is no clipboard
    }
    said.textContent = "Copied.";
  });
}

// An edited answer is no longer the one that an approval covers: it is sent as a correction.
for (const form of document.querySelectorAll("form.decide")) {
  const output = form.elements.output;
  const label = form.elements.label;
  const turn = () => {
    const isEdited =
      (output && (output.value !== output.defaultValue || "edited" in output.dataset)) ||
      Boolean(label && label.value);
    for (const button of form.querySelectorAll("[data-when]"))
      button.disabled = (button.dataset.when === "edited") !== isEdited;
  };
  let isSent = false;
  form.addEventListener("input", turn);
  form.addEventListener("submit", (event) => (isSent ? event.preventDefault() : (isSent = true)));
  addEventListener("pageshow", () => ((isSent = false), turn()));
  turn();
}

// Single keys can be switched off (WCAG 2.1.4), in this browser.
for (const button of document.querySelectorAll("[data-keys]")) {
  const say = () => (button.textContent = hasKeys() ? "Switch single keys off" : "Switch single keys on");
  button.hidden = !rows().length && !document.querySelector("[data-key]");
  button.addEventListener("click", () => {
    localStorage.setItem("keys", hasKeys() ? "off" : "on");
    say();
  });
  say();
}

if (rows().length) document.querySelector(".keys").hidden = false;
setInterval(refresh, EVERY_MS);
