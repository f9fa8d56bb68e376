// The same charts from the warehouse, over a range.

const REFRESH = { hour: 5000, day: 30000, month: 60000 };
const PATIENCE = 10000;
const LONGEST_PAUSE = 60000;

const FORMATS = {
  hour: new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" }),
  day: new Intl.DateTimeFormat("en-GB", { weekday: "short", hour: "2-digit", minute: "2-digit" }),
  month: new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" }),
};
const CAPTIONS = { hour: "Transactions a minute", day: "Transactions each half hour", month: "Transactions a day" };
const clock = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

export class History {
  constructor(section, cards) {
    this.cards = cards;
    this.state = section.querySelector("#history-state");
    this.buttons = [...section.querySelectorAll("[data-range]")];
    for (const button of this.buttons) {
      button.addEventListener("click", () => this.choose(button.dataset.range));
    }
    this.choose("hour");
  }

  choose(range) {
    this.range = range;
    this.failures = 0;
    for (const button of this.buttons) {
      button.setAttribute("aria-pressed", String(button.dataset.range === range));
    }
    this.tell("waiting", "Asking the warehouse…");
    this.ask();
  }

  async ask() {
    clearTimeout(this.timer);
    // Only the newest question counts: an older answer is of another range or out of date.
    this.asked?.abort();
    const asked = new AbortController();
    this.asked = asked;
    const patience = setTimeout(() => asked.abort("late"), PATIENCE);
    let pause;
    try {
      const answer = await fetch(`/api/history?range=${this.range}`, { signal: asked.signal });
      const body = await answer.json();
      if (!answer.ok) throw new Error(body.error ?? `it answered ${answer.status}`);
      if (this.asked !== asked) return;
      this.show(body);
      this.failures = 0;
      pause = REFRESH[this.range];
    } catch (error) {
      if (this.asked !== asked) return;
      this.failures += 1;
      pause = Math.min(LONGEST_PAUSE, 1000 * 2 ** this.failures);
      const reason = asked.signal.reason === "late" ? "it takes too long" : error.message;
      this.tell("broken", `The warehouse cannot be read: ${reason}. Next try in ${Math.round(pause / 1000)} s.`);
      for (const card of Object.values(this.cards)) card.element.classList.add("is-old");
    } finally {
      clearTimeout(patience);
    }
    this.timer = setTimeout(() => this.ask(), pause);
  }

  show(body) {
    const format = FORMATS[body.range];
    for (const [source, card] of Object.entries(this.cards)) {
      const { status, payment_method: payment, volume } = body.sources[source];
      card.setVolumeCaption(CAPTIONS[body.range]);
      card.element.classList.remove("is-old");
      card.show({
        status,
        payment,
        volume: volume.map((count, index) => {
          const at = new Date(Date.parse(body.from) + index * body.step_seconds * 1000);
          return [format.format(at), count];
        }),
      });
    }
    this.tell("live", `As of ${clock.format(new Date(body.to))}`);
  }

  tell(state, text) {
    this.state.dataset.state = state;
    this.state.textContent = text;
  }
}
