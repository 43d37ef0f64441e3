/**
 * Live events: a fetch-based reader of server-sent events. Unlike EventSource it sees why a stream was refused, gets
 * events of names that it does not know, and notices silence: the server writes at least every 15 seconds.
 */

/** @typedef {{id: string, event: string, data: any}} Message */

const SILENCE = 45_000;
const LONGEST_WAIT = 30_000;
const SHORTEST_WAIT = 3_000;

/**
 * Follow the events until `stop` is called. `hurry` has a lost connection tried at once, unless that was done just now.
 * @param {{message: (message: Message) => void, state: (state: "live" | "lost" | "ended") => void}} to
 * @returns {{stop: () => void, hurry: () => void}}
 */
export function follow(to) {
  const stopping = new AbortController();
  let last = "";
  let wait = 3000;
  let failures = 0;
  let tried = 0;
  /** @type {() => void} */
  let wake = () => {};
  void run();
  addEventListener("online", hurry);
  return { hurry, stop };

  function stop() {
    removeEventListener("online", hurry);
    stopping.abort();
  }

  async function run() {
    while (!stopping.signal.aborted) {
      tried = Date.now();
      const status = await connection().catch(() => 0);
      if (stopping.signal.aborted) return;
      if (status === 401) return to.state("ended");
      to.state("lost");
      const delay = Math.min(LONGEST_WAIT, wait * 2 ** Math.min(failures++, 4)) * (0.5 + Math.random() / 2);
      await pause(delay);
    }
  }

  function hurry() {
    if (Date.now() - tried >= SHORTEST_WAIT) wake();
  }
  /** @param {number} milliseconds */
  function pause(milliseconds) {
    return new Promise((/** @type {(value?: any) => void} */ resolve) => {
      wake = resolve;
      setTimeout(resolve, milliseconds);
    });
  }

  async function connection() {
    const cutting = new AbortController();
    const cut = () => cutting.abort();
    stopping.signal.addEventListener("abort", cut);
    let silence = setTimeout(cut, SILENCE);
    try {
      /** @type {Record<string, string>} */
      const headers = last ? { "Last-Event-ID": last } : {};
      const answer = await fetch("/api/v1/user/events", { headers, signal: cutting.signal, cache: "no-store" });
      if (!answer.ok || !answer.body) return answer.status;
      failures = 0;
      to.state("live");
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return answer.status;
        clearTimeout(silence);
        silence = setTimeout(cut, SILENCE);
        const blocks = (rest + value).split("\n\n");
        rest = /** @type {string} */ (blocks.pop());
        blocks.forEach(read);
      }
    } finally {
      clearTimeout(silence);
      stopping.signal.removeEventListener("abort", cut);
    }
  }

  /** @param {string} block */
  function read(block) {
    /** @type {Record<string, string>} */
    const fields = {};
    for (const line of block.split("\n")) {
      const [, name, value] = line.match(/^(\w+): ?(.*)$/) ?? [];
      if (name) fields[name] = value;
    }
    if (fields.id) last = fields.id;
    if (fields.retry) wait = Number(fields.retry) || wait;
    if (fields.event) to.message({ id: last, event: fields.event, data: JSON.parse(fields.data || "null") });
  }
}
