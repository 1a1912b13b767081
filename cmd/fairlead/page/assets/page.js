// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Replaces the parts of the page by newer ones every two seconds while it is visible.
"use strict";
(() => {
  const live = document.getElementById("live");
  const every = 2000, patience = 10000;
  let last = Date.now(), asking = false, query = location.search;

  const say = (text, lost) => {
    live.textContent = text;
    live.classList.toggle("lost", lost);
  };

  const take = (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    for (const old of document.querySelectorAll("[data-live]")) {
      const next = fresh.querySelector(`[data-live="${old.dataset.live}"]`);
      const used = old.contains(document.activeElement) || String(getSelection()) && getSelection().containsNode(old, true);
      if (next && !used && next.outerHTML !== old.outerHTML) old.replaceWith(document.importNode(next, true));
    }
    document.title = fresh.title;
  };

  const refresh = async () => {
    if (asking || document.hidden) return;
    asking = true;
    const asked = query;
    try {
      const answer = await fetch("./" + asked, { signal: AbortSignal.timeout(patience), cache: "no-store", credentials: "same-origin" });
      if (!answer.ok) throw new Error(answer.status);
      const text = await answer.text();
      if (asked === query) take(text);
      last = Date.now();
      say("Live", false);
    } catch {
      say(`The agent has not answered for ${Math.round((Date.now() - last) / 1000)} s`, true);
    } finally {
      asking = false;
    }
    if (asked !== query) refresh();
  };

  const form = document.querySelector("form[role=search]");
  form.querySelector("button").hidden = true;
  let typed;
  form.addEventListener("input", () => {
    clearTimeout(typed);
    typed = setTimeout(() => {
      query = "?" + new URLSearchParams(new FormData(form));
      history.replaceState(null, "", query);
      refresh();
    }, 200);
  });
  form.addEventListener("submit", (e) => e.preventDefault());

  say("Live", false);
  setInterval(refresh, every);
  document.addEventListener("visibilitychange", refresh);
})();
