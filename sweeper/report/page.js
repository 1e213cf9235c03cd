"use strict";
// Tables: press a head to sort, type to filter; only the first rows are shown until more are asked for.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const input = table.closest("figure").querySelector("input");
  const first = Number(table.dataset.first);
  let all = false;
  const more = document.createElement("button");
  more.type = "button";
  more.className = "more";
  more.addEventListener("click", () => { all = true; show(); });
  table.parentElement.after(more);
  const show = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = [...body.rows].filter((row) => {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      return !row.hidden;
    });
    found.forEach((row, i) => { row.hidden = !all && i >= first; });
    more.hidden = all || found.length <= first;
    more.textContent = `show all ${found.length.toLocaleString("en")} rows`;
  };
  const value = (row, column) => {
    const text = row.cells[column].dataset.v;
    if (text === undefined) return null;
    return text === "" || isNaN(text) ? text : Number(text);
  };
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") === "descending" ||
        (!head.hasAttribute("aria-sort") && !/^(κ|accuracy|recall|precision|F1|Cohen|MCC|AUC|test)/.test(head.textContent));
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      rows.sort((a, b) => {
        const x = value(a, column), y = value(b, column);
        if (x === null || y === null) return (x === null) - (y === null);
        const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
        return up ? order : -order;
      });
      body.append(...rows);
      show();
    });
  });
  input.addEventListener("input", show);
  show();
}

// Parallel coordinates.
for (const figure of document.querySelectorAll(".parallel")) {
  const data = JSON.parse(figure.querySelector("script").textContent);
  const plot = figure.querySelector(".plot"), tools = figure.querySelector(".tools"), read = figure.querySelector(".read");
  const chosen = { featurizer: "", classifier: "" };
  const svg = (name, attributes, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const key in attributes) element.setAttribute(key, attributes[key]);
    if (text !== undefined) element.textContent = text;
    return element;
  };
  for (const slot of ["featurizer", "classifier"]) {
    const names = [...new Set(data[slot])].sort();
    if (names.length < 2) { chosen[slot] = names[0]; continue; }
    const label = document.createElement("label"), select = document.createElement("select");
    label.append(slot + " ", select);
    for (const name of ["", ...names]) select.add(new Option(name || "all", name));
    select.addEventListener("change", () => { chosen[slot] = select.value; draw(); });
    tools.append(label);
  }
  const sorted = [...data.score].sort((a, b) => a - b);
  const rank = (score) => {  // share of all pipelines that are no better
    let low = 0, high = sorted.length;
    while (low < high) { const middle = (low + high) >> 1; if (sorted[middle] <= score) low = middle + 1; else high = middle; }
    return low / sorted.length;
  };
  function draw() {
    const axes = data.axes.filter((axis) => !axis.of || chosen[axis.of[0]] === axis.of[1]);
    const lines = data.score.map((_, i) => i).filter((i) => ["featurizer", "classifier"].every((s) => !chosen[s] || data[s][i] === chosen[s]));
    lines.sort((a, b) => data.score[a] - data.score[b]);
    const labels = axes.map((axis) => 7 * Math.max(4, axis.name.length - 3, ...axis.ticks.map((tick) => tick[1].length)));
    const wanted = labels.reduce((sum, width) => sum + width + 46, 30);
    const width = Math.max(wanted, plot.parentElement.clientWidth || 600), height = 360, top = 34, bottom = 18;
    const spare = (width - wanted) / Math.max(1, axes.length);
    let at = 0;
    const x = labels.map((label) => { at += label + 46 + spare; return at - 30 - spare / 2; });
    const y = (share) => top + (1 - share) * (height - top - bottom);
    const picture = svg("svg", { width, height, role: "img", "aria-label": "Parallel coordinates of " + lines.length + " pipelines" });
    const paths = [], dim = Math.min(1, Math.sqrt(300 / lines.length));
    lines.forEach((i) => {
      const shift = ((i * 2654435761) % 1000 / 1000 - 0.5) * 9;  // lines through one choice lie side by side
      const points = axes.map((axis, a) => axis.where[i] === null ? null : [x[a], y(axis.where[i]) + (axis.of || axis.ticks.length < 5 ? shift : 0)]).filter(Boolean);
      const r = rank(data.score[i]), best = r > 0.9;
      const path = svg("path", { d: "M" + points.map((p) => p[0].toFixed(1) + " " + p[1].toFixed(1)).join("L"),
        stroke: best ? "var(--c1)" : "var(--c0)", "stroke-width": best ? 1.4 : 1, opacity: (dim * (0.1 + 0.65 * r ** 3)).toFixed(3) });
      paths.push([path, points, i]);
      picture.append(path);
    });
    axes.forEach((axis, a) => {
      picture.append(svg("line", { x1: x[a], x2: x[a], y1: y(0), y2: y(1), stroke: "var(--muted)" }));
      picture.append(svg("text", { x: x[a], y: 16, "text-anchor": "end", "font-weight": 600, fill: "var(--ink)" }, axis.name));
      for (const [share, text] of axis.ticks)
        picture.append(svg("text", { x: x[a] - 6, y: y(share) + 4, "text-anchor": "end", fill: "var(--ink)", stroke: "var(--ground)", "stroke-width": 3, "paint-order": "stroke" }, text));
    });
    const mark = svg("path", { stroke: "var(--ink)", "stroke-width": 2.4 });
    picture.append(mark);
    picture.addEventListener("pointermove", near);
    picture.addEventListener("pointerdown", near);
    function near(event) {
      const box = picture.getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top;
      let found = null, least = 400;
      for (const entry of paths) {
        const p = entry[1];
        for (let k = 1; k < p.length; k++) {
          if (px < p[k - 1][0] || px > p[k][0]) continue;
          const share = (px - p[k - 1][0]) / (p[k][0] - p[k - 1][0]);
          const distance = (p[k - 1][1] + share * (p[k][1] - p[k - 1][1]) - py) ** 2;
          if (distance < least) { least = distance; found = entry; }
        }
      }
      mark.setAttribute("d", found ? found[0].getAttribute("d") : "");
      read.textContent = found ? data.label[found[2]] : "";
    }
    plot.replaceChildren(picture);
    read.textContent = "";
  }
  draw();
  let timer = 0, last = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== last) { last = innerWidth; clearTimeout(timer); timer = setTimeout(draw, 150); } });
}
