import { Card } from "./card.js";
import { History } from "./history.js";
import { LiveSource } from "./live.js";

const SOURCES = [
  ["generator", "Generator"],
  ["third_party", "Third party"],
];
const TICK = 250;

function place(card, parent) {
  document.getElementById(parent).append(card.element);
  card.draw();
  return card;
}

const live = SOURCES.map(([source, title]) => {
  const card = new Card(`live-${source}`, title, "Transactions in 2 s");
  place(card, "live-sources");
  return new LiveSource(`/api/live/${source}`, card);
});
setInterval(() => live.forEach((source) => source.tick()), TICK);

const kept = SOURCES.map(([source, title]) => {
  const card = new Card(`history-${source}`, title, "Transactions a minute");
  card.find(".reset").remove();
  card.find(".state").remove();
  return [source, place(card, "history-sources")];
});
new History(document.getElementById("history"), Object.fromEntries(kept));
