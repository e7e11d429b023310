// What the page asks of the server.

export class Trouble extends Error {
  constructor(message, remedy, status) {
    super(message);
    this.remedy = remedy;
    this.status = status;
  }
}

const TRIES = 4;
const THUMBNAILS = 600;

export class Client {
  /** @param askForToken called when the token is missing or wrong; promises one
   *  @param busy called with the seconds until the next try */
  constructor(askForToken, busy) {
    this.askForToken = askForToken;
    this.busy = busy;
    this.asking = null;
    this.thumbnails = new Map(); // id → URL of a blob, the least recently used first
  }

  async fetch(path, options = {}, tries = TRIES) {
    const token = sessionStorage.getItem("bier-token");
    const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
    let answer;
    try {
      answer = await fetch(path, { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Trouble("The server cannot be reached.", "Check that it is running, then try again.");
    }
    if (answer.ok) return answer;
    if (answer.status === 401) {
      await this.newToken(token);
      return this.fetch(path, options, tries);
    }
    if (answer.status === 429 && tries > 1) {
      const seconds = Number(answer.headers.get("Retry-After")) || 1;
      this.busy(seconds);
      await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
      return this.fetch(path, options, tries - 1);
    }
    const problem = await answer.json().catch(() => ({ error: `The server answered ${answer.status}.` }));
    throw new Trouble(problem.error, problem.remedy, answer.status);
  }

  /** Many requests may find the same token wrong; one question is enough. */
  async newToken(refused) {
    if (sessionStorage.getItem("bier-token") !== refused) return;
    this.asking ??= this.askForToken(refused !== null).finally(() => { this.asking = null; });
    sessionStorage.setItem("bier-token", await this.asking);
  }

  async get(path, signal) {
    return (await this.fetch(path, { signal })).json();
  }

  async post(path, content, signal) {
    const headers = { "Content-Type": "application/json" };
    return (await this.fetch(path, { method: "POST", headers, body: JSON.stringify(content), signal })).json();
  }

  /** @param box left, top, width and height of the part that is meant, in pixels of the upright picture */
  async embed(file, box) {
    const body = new FormData();
    body.append("picture", file, file.name || "picture");
    if (box) body.append("box", JSON.stringify(box));
    return (await this.fetch("/api/embed", { method: "POST", body })).json();
  }

  /** Have a picture kept that was marked. */
  async keep(file) {
    const body = new FormData();
    body.append("picture", file, file.name || "picture");
    return (await this.fetch("/api/uploads", { method: "POST", body })).json();
  }

  /** @param whole of an object: all of its picture */
  async picture(id, side, whole, signal) {
    const query = new URLSearchParams({ id, side, whole });
    return (await this.fetch(`/api/thumbnail?${query}`, { signal })).blob();
  }

  async thumbnail(id, signal) {
    let url = this.thumbnails.get(id);
    this.thumbnails.delete(id);
    url ??= URL.createObjectURL(await this.picture(id, 320, false, signal));
    this.thumbnails.set(id, url);
    if (this.thumbnails.size > THUMBNAILS) {
      const [oldest, dropped] = this.thumbnails.entries().next().value;
      this.thumbnails.delete(oldest);
      URL.revokeObjectURL(dropped);
    }
    return url;
  }
}
