"use strict";
(() => {
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];

  // Light or dark: what the system says, until the reader chooses.
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const remembered = (value) => {
    try {
      if (value) localStorage.setItem("acgs-perf-theme", value);
      return localStorage.getItem("acgs-perf-theme");
    } catch {
      return null;
    }
  };
  const isDark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const name = () => (button.textContent = isDark() ? "Light colours" : "Dark colours");
  const kept = remembered();
  if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  button.hidden = false;
  name();
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remembered(root.dataset.theme);
    name();
  });

  // Drag a quantile, see its parts: a row of the table is shown.
  for (const panel of all(".stack")) {
    const rows = all(".stackrows tbody tr", panel);
    const pick = panel.querySelector(".pick");
    const input = pick.querySelector("input");
    const marker = panel.querySelector(".marker");
    const readout = panel.querySelector(".readout");
    const show = () => {
      const row = rows[Number(input.value)];
      const quantile = row.querySelector("th").textContent;
      const latency = row.querySelector("td").textContent;
      marker.setAttribute("x1", row.dataset.x);
      marker.setAttribute("x2", row.dataset.x);
      readout.querySelector(".big").textContent = latency;
      readout.querySelector(".unit").textContent = `at ${quantile}`;
      readout.querySelector(".parts").replaceWith(row.querySelector(".parts").cloneNode(true));
      input.setAttribute("aria-valuetext", `${quantile}, ${latency}`);
    };
    pick.hidden = false;
    input.addEventListener("input", show);
    show();
    // In the picture itself.
    const svg = panel.querySelector("svg.plot");
    const at = (event) => {
      const box = svg.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      input.value = String(Math.round(share * (rows.length - 1)));
      show();
    };
    svg.addEventListener("pointerdown", (event) => {
      svg.setPointerCapture(event.pointerId);
      at(event);
    });
    svg.addEventListener("pointermove", (event) => {
      if (svg.hasPointerCapture(event.pointerId)) at(event);
    });
  }

  // Tables that can be sorted.
  const units = { ns: 1, "µs": 1e3, ms: 1e6, s: 1e9 };
  const value = (cell) => {
    const found = /^([\d.,]+)\s*(ns|µs|ms|s)?/.exec(cell.textContent.replace(/^[≥<]/, ""));
    return found ? Number(found[1].replaceAll(",", "")) * (units[found[2]] ?? 1) : -1;
  };
  for (const table of all("table.sort")) {
    all("thead th", table).forEach((head, column) => {
      const order = document.createElement("button");
      order.type = "button";
      order.append(...head.childNodes);
      head.append(order);
      const isNumber = head.classList.contains("n");
      order.addEventListener("click", () => {
        const falls = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") === "ascending" : isNumber;
        all("thead th", table).forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", falls ? "descending" : "ascending");
        const body = table.tBodies[0];
        const by = (row) => (isNumber ? value(row.cells[column]) : row.cells[column].textContent);
        const rows = [...body.rows].map((row) => [by(row), row]);
        rows.sort(([a], [b]) => (isNumber ? a - b : a.localeCompare(b)));
        if (falls) rows.reverse();
        body.append(...rows.map(([, row]) => row));
      });
    });
  }

  // Tables that can be filtered.
  for (const filter of all(".filter")) {
    const input = filter.querySelector("input");
    const status = filter.querySelector("[role=status]");
    const rows = [...filter.parentElement.querySelector("table.filtered").tBodies[0].rows];
    filter.hidden = false;
    input.addEventListener("input", () => {
      const wanted = input.value.toLowerCase();
      let shown = 0;
      for (const row of rows) {
        row.hidden = !row.textContent.toLowerCase().includes(wanted);
        shown += row.hidden ? 0 : 1;
      }
      status.textContent = wanted ? `${shown} of ${rows.length}` : "";
    });
  }
})();
