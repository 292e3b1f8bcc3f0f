// Shop time: the server's event time, which a demo runs faster than the wall clock.

/// Follows event time between the moments the server tells it.
export class ShopTime {
  #asOf = undefined;
  #heard = 0;
  #speed = 1;
  #first = undefined;

  /// The server said that its state is complete up to `asOf`, in milliseconds.
  observe(asOf, speed) {
    if (!Number.isFinite(asOf)) {
      return;
    }
    const now = performance.now();
    if (Number.isFinite(speed) && speed > 0) {
      this.#speed = speed;
    } else if (this.#first === undefined || asOf < this.#first.asOf) {
      this.#first = { asOf, now };
    } else if (now - this.#first.now > 2_000) {
      this.#speed = Math.max((asOf - this.#first.asOf) / (now - this.#first.now), 0.001);
    }
    // What was foretold may have run ahead a little; time on a screen does not go back for that.
    const foretold = this.now();
    const ahead = foretold === undefined ? 0 : foretold - asOf;
    this.#asOf = ahead > 0 && ahead < 3_000 * this.#speed ? foretold - ahead * 0.2 : asOf;
    this.#heard = now;
  }

  /// Event time now; undefined before the first observation.
  now() {
    if (this.#asOf === undefined) {
      return undefined;
    }
    // Silence of the server for long is not the passing of event time.
    const since = Math.min(performance.now() - this.#heard, 5_000);
    return this.#asOf + since * this.#speed;
  }

  /// Shop seconds in a second.
  get speed() {
    return this.#speed;
  }
}
