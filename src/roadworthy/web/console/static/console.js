// Keys for rows, a button that copies, and a refresh every 30 seconds. Every page reads and works without this file.
"use strict";

const EVERY_MS = 30000;
const FIELDS = "input, select, textarea, [contenteditable]";

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

document.addEventListener("keydown", (event) => {
  const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey;
  if (!isPlain || event.target.closest(FIELDS)) return;
  if (event.key === "j") move(1);
  if (event.key === "k") move(-1);
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

if (rows().length) document.querySelector(".keys").hidden = false;
setInterval(refresh, EVERY_MS);
