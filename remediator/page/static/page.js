// The live view: when something changed, this page is asked for again and its main part replaced,
// unless somebody is writing in it.
"use strict";

(() => {
  const light = document.getElementById("live");
  const main = () => document.querySelector("main");
  if (!light || !window.EventSource) return;

  let waiting = null;
  let again = false;

  const busy = () => {
    const field = document.activeElement;
    if (field && main().contains(field) && field.matches("input, textarea, select, button")) return true;
    return [...main().querySelectorAll("input[type=text], textarea")].some((each) => each.value !== each.defaultValue);
  };

  const refresh = async () => {
    waiting = null;
    if (busy()) { again = true; return; }
    const open = [...main().querySelectorAll("details")].map((each) => each.open);
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "manual" });
      if (!answer.ok) { if (answer.type === "opaqueredirect") location.reload(); return; }
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
      if (!fresh || busy()) return;
      main().replaceWith(document.adoptNode(fresh));
      main().querySelectorAll("details").forEach((each, index) => { if (open[index]) each.open = true; });
      const waits = document.getElementById("waits");
      const count = main().dataset.waiting || "0";
      if (waits) { waits.textContent = count === "0" ? "" : count; }
    } catch { /* the event source says that the server is away */ }
  };

  const soon = () => { if (waiting === null) waiting = setTimeout(refresh, 400); };

  const source = new EventSource("/stream");
  source.onopen = () => { light.textContent = "live"; light.className = "on"; };
  source.onerror = () => { light.textContent = "offline"; light.className = "off"; };
  for (const kind of ["incident", "run", "approval", "governance"]) source.addEventListener(kind, soon);
  document.addEventListener("focusout", () => { if (again) { again = false; soon(); } });
  // What is measured changes without an event.
  if (main().dataset.every) setInterval(soon, Number(main().dataset.every) * 1000);
})();
