// One source: its three charts, and the same numbers as text.

const STATUSES = ["Processing", "Shipped", "Delivered", "Cancelled"];
export const OTHER = "Other";
const MOST_ROWS = 10;
const numbers = new Intl.NumberFormat("en");
const isStill = matchMedia("(prefers-reduced-motion: reduce)");
const isDark = matchMedia("(prefers-color-scheme: dark)");

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function statusColour(status) {
  return colour(STATUSES.includes(status) ? status.toLowerCase() : "other");
}

// Known statuses in the order of an order's life, others behind them by name.
function inOrder(counts) {
  const rank = (name) => (STATUSES.includes(name) ? STATUSES.indexOf(name) : STATUSES.length);
  return [...counts].sort(([a], [b]) => rank(a) - rank(b) || a.localeCompare(b));
}

function byCount(counts) {
  return [...counts].sort(([a, m], [b, n]) => n - m || a.localeCompare(b));
}

// The first rows, and the rest in one.
function atMost(counts) {
  if (counts.length <= MOST_ROWS) return counts;
  const rest = counts.slice(MOST_ROWS - 1);
  return [...counts.slice(0, MOST_ROWS - 1), [OTHER, sum(rest)]];
}

function sum(counts) {
  return counts.reduce((total, [, count]) => total + count, 0);
}

function said(counts) {
  const parts = counts.map(([name, count]) => `${name} ${numbers.format(count)}`);
  return parts.length > 0 ? parts.join(", ") : "nothing yet";
}

export class Card {
  constructor(id, title, volumeCaption) {
    const template = document.getElementById("source-card");
    this.element = template.content.firstElementChild.cloneNode(true);
    this.element.id = id;
    const heading = this.find(".name");
    heading.textContent = title;
    heading.id = `${id}-title`;
    this.element.setAttribute("aria-labelledby", heading.id);
    this.setVolumeCaption(volumeCaption);
    this.charts = {};
  }

  find(selector) {
    return this.element.querySelector(selector);
  }

  // Charts measure their place, so the card must be in the page.
  draw() {
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    this.charts = {
      status: this.chart("status", {
        type: "pie",
        options: { plugins: { legend: legend() } },
      }),
      payment: this.chart("payment", {
        type: "bar",
        options: { indexAxis: "y", scales: { x: wholeNumbers(), y: { grid: { display: false } } } },
      }),
      volume: this.chart("volume", {
        type: "line",
        options: {
          scales: { y: wholeNumbers(), x: { grid: { display: false }, ticks: { maxRotation: 0, autoSkipPadding: 12 } } },
        },
      }),
    };
    this.paint();
    this.show({ status: [], payment: [], volume: [] });
    isDark.addEventListener("change", () => this.paint());
  }

  chart(name, { type, options }) {
    const canvas = this.find(`[data-chart="${name}"]`);
    return new Chart(canvas, {
      type,
      data: { labels: [], datasets: [{ data: [] }] },
      options: {
        responsive: true,
        maintainAspectRatio: false,
        animation: isStill.matches || name === "volume" ? false : { duration: 250 },
        ...options,
        plugins: { legend: { display: false }, ...options.plugins },
      },
    });
  }

  // Takes the colours of the theme.
  paint() {
    for (const chart of Object.values(this.charts)) {
      chart.options.color = colour("text");
      for (const scale of Object.values(chart.options.scales ?? {})) {
        scale.ticks = { ...scale.ticks, color: colour("quiet") };
        scale.grid = { ...scale.grid, color: colour("grid") };
        scale.border = { color: colour("line") };
      }
      this.paintData(chart);
      chart.update("none");
    }
  }

  paintData(chart) {
    const [dataset] = chart.data.datasets;
    if (chart === this.charts.status) {
      dataset.backgroundColor = chart.data.names?.map(statusColour) ?? [];
      dataset.borderColor = colour("card");
      dataset.borderWidth = 2;
    } else {
      dataset.backgroundColor = colour("accent");
      dataset.borderColor = colour("accent");
      dataset.cubicInterpolationMode = "monotone";
      dataset.pointRadius = chart.data.labels.length > 20 ? 0 : 3;
      dataset.pointHitRadius = 10;
      dataset.maxBarThickness = 28;
    }
  }

  // `status` and `payment` hold [name, count], `volume` holds [time, count] from old to new.
  show({ status, payment, volume }) {
    const statuses = atMost(inOrder(status));
    const payments = atMost(byCount(payment));
    const total = sum(statuses);
    this.find(".count").textContent = numbers.format(total);
    const share = ([name, count]) => `${name} ${Math.round((100 * count) / total)} %`;
    this.fill("status", statuses, statuses.map(share));
    this.fill("payment", payments, payments.map(([name]) => name));
    this.fill("volume", volume, volume.map(([time]) => time));
  }

  fill(name, rows, labels) {
    const key = JSON.stringify([rows, labels]);
    const canvas = this.find(`[data-chart="${name}"]`);
    if (canvas.shown === key) return;
    canvas.shown = key;
    const chart = this.charts[name];
    chart.data.names = rows.map(([row]) => row);
    chart.data.labels = labels;
    chart.data.datasets[0].data = rows.map(([, count]) => count);
    this.paintData(chart);
    chart.update();
    const caption = canvas.closest("figure").querySelector("figcaption").textContent;
    canvas.setAttribute("aria-label", `${caption}: ${said(name === "volume" ? totals(rows) : rows)}`);
    const empty = canvas.parentElement.querySelector(".empty");
    if (empty) empty.hidden = rows.length > 0;
    const body = this.find(`[data-table="${name}"] tbody`);
    body.replaceChildren(...rows.map(([row, count]) => tableRow(row, count)));
  }

  setVolumeCaption(caption) {
    for (const place of this.element.querySelectorAll(".volume-caption")) place.textContent = caption;
  }

  // `state` is waiting, live, slow, problem or broken.
  setState(state, text) {
    const place = this.find(".state");
    if (place.dataset.state !== state) place.dataset.state = state;
    if (place.textContent !== text) place.textContent = text;
  }
}

// The shares stand in it, so that no slice is told by its colour alone. A click would hide a slice
// and leave the total as it is.
function legend() {
  return {
    display: true,
    position: "bottom",
    onClick: null,
    labels: { usePointStyle: true, pointStyle: "rectRounded", boxHeight: 9, padding: 12, font: { size: 13 } },
  };
}

function wholeNumbers() {
  return { beginAtZero: true, suggestedMax: 4, ticks: { precision: 0, maxTicksLimit: 6 } };
}

function totals(rows) {
  const last = rows.at(-1);
  return last ? [["in all", sum(rows)], [`last, ${last[0]},`, last[1]]] : [];
}

function tableRow(name, count) {
  const row = document.createElement("tr");
  const head = document.createElement("th");
  head.scope = "row";
  head.textContent = name;
  const cell = document.createElement("td");
  cell.textContent = numbers.format(count);
  row.append(head, cell);
  return row;
}
