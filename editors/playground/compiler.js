// The compiler in its worker. Of questions of one kind only the latest is asked; a look goes before all others.

const ORDER = ["look", "formatted", "drawing", "costs", "python"];
const LAST = "everything"; // goes on in steps, and lets others pass

export class Compiler {
  constructor() {
    this.waiting = new Map();
    this.asked = new Map();
    this.count = 0;
    this.start();
  }

  start() {
    this.worker = new Worker("worker.js", { type: "module" });
    this.worker.onmessage = ({ data }) => this.answered(data);
    this.worker.onerror = (problem) => this.broken(problem.message || "the worker did not start");
  }

  /** Asks a question, and resolves to its answer, null where a later one has made it needless. */
  ask(kind, ...given) {
    if (!this.worker) {
      this.start();
    }
    return new Promise((resolve, reject) => {
      this.waiting.get(kind)?.resolve(null);
      this.waiting.set(kind, { kind, given, resolve, reject });
      this.next();
    });
  }

  next() {
    const busy = [...this.asked.values()].some(({ kind }) => kind !== LAST);
    const kind = busy ? undefined : [...ORDER, LAST].find((each) => this.waiting.has(each));
    if (!kind) {
      return;
    }
    const question = this.waiting.get(kind);
    this.waiting.delete(kind);
    this.asked.set(++this.count, question);
    this.worker.postMessage({ number: this.count, kind, given: question.given });
    if (kind === LAST) {
      this.next();
    }
  }

  answered({ number, answer, failure, fatal }) {
    if (fatal) {
      this.broken(failure);
      return;
    }
    const question = this.asked.get(number);
    this.asked.delete(number);
    if (failure) {
      question.reject(new Error(failure));
    } else {
      question.resolve(answer);
    }
    this.next();
  }

  /** Gives up a worker that has died, and what was asked of it; the next question starts another. */
  broken(why) {
    this.worker.terminate();
    this.worker = null;
    const lost = [...this.asked.values(), ...this.waiting.values()];
    this.asked.clear();
    this.waiting.clear();
    lost.forEach(({ reject }) => reject(new Error(why)));
  }
}
