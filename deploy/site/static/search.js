// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0
//
// Search without a server: the index is a list of pages with their text, which is loaded
// when somebody begins to search. Every word has to be in a page; words in titles count
// more.
(() => {
  // This script is at the root of the site, wherever that is.
  const root = document.currentScript.src;
  const input = document.getElementById("search");
  const list = document.getElementById("found");
  let pages; // a promise of the index

  const load = () => {
    pages ??= fetch(new URL("index.json", root))
      .then((answer) => answer.json())
      .then((all) => all.map((p) => ({ ...p, low: p.text.toLowerCase(), lowTitle: p.title.toLowerCase() })))
      .catch((error) => {
        pages = undefined; // the next key tries again
        throw error;
      });
    return pages;
  };

  const count = (text, word) => text.split(word).length - 1;

  const find = (all, words) =>
    all
      .map((p) => {
        const hits = words.map((w) => 20 * count(p.lowTitle, w) + Math.min(10, count(p.low, w)));
        return { p, score: hits.includes(0) ? 0 : hits.reduce((a, b) => a + b, 0) };
      })
      .filter((r) => r.score > 0)
      .sort((a, b) => b.score - a.score)
      .slice(0, 12);

  const excerpt = (page, word) => {
    const at = Math.max(0, page.low.indexOf(word));
    const from = Math.max(0, at - 40);
    const span = document.createElement("span");
    const mark = document.createElement("mark");
    mark.textContent = page.text.slice(at, at + word.length);
    span.append(page.text.slice(from, at), mark, page.text.slice(at + word.length, at + 80));
    return span;
  };

  input.addEventListener("input", async () => {
    const all = await load();
    // Read after the wait, so that a key whose wait is longer does not bring back its results.
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = words.length ? find(all, words) : [];
    list.replaceChildren(
      ...found.map(({ p }) => {
        const item = document.createElement("li");
        const link = document.createElement("a");
        link.href = new URL(p.url, root);
        link.textContent = p.title;
        item.append(link, document.createElement("br"), excerpt(p, words[0]));
        return item;
      }),
    );
    if (words.length && !found.length) {
      const item = document.createElement("li");
      item.textContent = "No page has all these words.";
      list.append(item);
    }
    list.hidden = !words.length;
  });
})();
