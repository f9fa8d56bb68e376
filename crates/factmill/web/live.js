// A live source: its events, its connection, and what they add up to.

import { OTHER } from "./card.js";

const STEP = 2000; // milliseconds of a point of the volume line
const POINTS = 15;
const SLOW_AFTER = 5000; // a source that is silent for so long is called slow
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 15000;
const LONGEST_NAME = 40;
const MOST_NAMES = 100;
const GIVE_UP_AFTER = 30000; // milliseconds for the first answer

// As the warehouse's models write it: one casing, one spelling.
export function statusOf(text) {
  const word = String(text ?? "unknown").trim().toLowerCase();
  if (word === "canceled") return "Cancelled";
  return word.replace(/(^|[^a-z0-9])([a-z])/g, (_, before, letter) => before + letter.toUpperCase());
}

function methodOf(text) {
  return String(text ?? "Unknown").trim();
}

// A third party may send any text: names are cut, and beyond so many they count together.
function more(counts, name) {
  const short = name.slice(0, LONGEST_NAME);
  const known = counts.has(short) || counts.size < MOST_NAMES ? short : OTHER;
  counts.set(known, (counts.get(known) ?? 0) + 1);
}

export class LiveSource {
  constructor(url, card) {
    this.url = url;
    this.card = card;
    this.failures = 0;
    this.problem = null;
    this.events = null;
    this.card.find(".reset").addEventListener("click", () => this.reset());
    this.reset();
    this.connect();
  }

  reset() {
    this.status = new Map();
    this.payment = new Map();
    this.volume = new Map();
    this.show();
  }

  connect() {
    this.events?.close();
    this.retryAt = null;
    this.problem = null;
    this.isUp = false;
    this.away = null;
    this.heardAt = Date.now();
    const events = new EventSource(this.url);
    this.events = events;
    events.addEventListener("open", () => {
      this.failures = 0;
      this.heard();
    });
    // The page's server watches the service and says when it is away and when it is back.
    events.addEventListener("up", () => {
      this.isUp = true;
      this.heard();
    });
    events.addEventListener("down", (event) => {
      const { problem, retry_ms: pause } = read(event.data) ?? {};
      this.isUp = false;
      this.away = problem ?? "the service is away";
      this.askedAgainAt = Date.now() + (pause ?? 0);
      this.heard();
    });
    events.addEventListener("message", (event) => this.take(event.data));
    // A document that could not be read by the service: it is stored, but says nothing to a chart.
    events.addEventListener("broken", () => this.took("Unreadable", "Unreadable"));
    events.addEventListener("problem", (event) => {
      this.heard();
      this.problem = read(event.data)?.problem ?? "the service has a problem";
    });
    // The page's server itself is away. EventSource gives up for good after an answer that is no
    // stream, so all waiting is done here.
    events.addEventListener("error", () => {
      if (this.events === events) this.lost();
    });
  }

  heard() {
    this.heardAt = Date.now();
  }

  lost() {
    this.events?.close();
    this.events = null;
    const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.failures);
    this.failures += 1;
    this.retryAt = Date.now() + pause * (0.8 + 0.4 * Math.random());
  }

  take(text) {
    const document = read(text);
    if (document === null || typeof document !== "object") {
      this.took("Unreadable", "Unreadable");
    } else {
      this.took(statusOf(document.status), methodOf(document.payment_method));
    }
  }

  took(status, method) {
    this.heard();
    this.problem = null;
    more(this.status, status);
    more(this.payment, method);
    const step = Math.floor(Date.now() / STEP);
    this.volume.set(step, (this.volume.get(step) ?? 0) + 1);
  }

  // Called several times a second.
  tick() {
    const now = Date.now();
    if (this.retryAt !== null && now >= this.retryAt) this.connect();
    this.show();
    this.tell(now);
  }

  tell(now) {
    if (this.retryAt !== null) {
      return this.card.setState("broken", `No connection; ${nextTry(this.retryAt - now)}`);
    }
    if (!this.isUp && this.away !== null) {
      return this.card.setState("broken", `Away: ${this.away}; ${nextTry(this.askedAgainAt - now)}`);
    }
    if (!this.isUp) {
      if (now - this.heardAt > GIVE_UP_AFTER) this.lost();
      return this.card.setState("waiting", "Connecting…");
    }
    if (this.problem !== null) return this.card.setState("problem", this.problem);
    const silence = now - this.heardAt;
    if (silence > SLOW_AFTER) {
      return this.card.setState("slow", `Slow: nothing for ${Math.floor(silence / 1000)} s`);
    }
    return this.card.setState("live", "Live");
  }

  show() {
    // The step under way would look like a drop.
    const newest = Math.floor(Date.now() / STEP) - 1;
    for (const step of this.volume.keys()) {
      if (step <= newest - POINTS) this.volume.delete(step);
    }
    const volume = Array.from({ length: POINTS }, (_, index) => {
      const back = POINTS - index;
      return [`−${(back * STEP) / 1000} s`, this.volume.get(newest - POINTS + 1 + index) ?? 0];
    });
    this.card.show({ status: this.status, payment: this.payment, volume });
  }
}

function nextTry(milliseconds) {
  return `next try in ${Math.max(1, Math.ceil(milliseconds / 1000))} s`;
}

function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
