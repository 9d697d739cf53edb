// Samples the largest canvas every ~60 ms and keeps a grey 1024 x 768 frame whenever it has changed. Injected before
// any script of the page. All times are milliseconds on performance.now().
(() => {
  const WIDTH = 1024;
  const HEIGHT = 768;
  const EVERY = 60;
  // A WebGL canvas is readable between frames only if its drawing buffer is kept.
  const getContext = HTMLCanvasElement.prototype.getContext;
  HTMLCanvasElement.prototype.getContext = function (kind, attributes) {
    const kept = /^webgl/.test(kind) ? { ...attributes, preserveDrawingBuffer: true } : attributes;
    return getContext.call(this, kind, kept);
  };

  const copy = new OffscreenCanvas(WIDTH, HEIGHT);
  const context = copy.getContext("2d", { willReadFrequently: true });
  let frames = [];
  let start = 0;

  function frame() {
    const canvases = [...document.querySelectorAll("canvas")].filter((c) => c.width * c.height > 0);
    const largest = canvases.sort((a, b) => b.width * b.height - a.width * a.height)[0];
    context.fillStyle = "#000";
    context.fillRect(0, 0, WIDTH, HEIGHT);
    if (largest) context.drawImage(largest, 0, 0, WIDTH, HEIGHT);
    const { data } = context.getImageData(0, 0, WIDTH, HEIGHT);
    const grey = new Uint8Array(WIDTH * HEIGHT);
    let chroma = 0;
    for (let i = 0, j = 0; i < grey.length; i++, j += 4) {
      const [r, g, b] = [data[j], data[j + 1], data[j + 2]];
      grey[i] = (r * 77 + g * 150 + b * 29) >> 8;
      chroma += Math.max(r, g, b) - Math.min(r, g, b);
    }
    // The bound on the error that firstlight's viewer states for what it shows; null for other viewers.
    const bound = window.firstlight?.core?.stats().error ?? null;
    return { time: performance.now() - start, grey, chroma: chroma / grey.length, bound };
  }

  function keepIfChanged(now) {
    const last = frames[frames.length - 1].grey;
    if (now.grey.some((value, i) => value !== last[i])) frames.push(now);
  }

  function loop() {
    requestAnimationFrame(() => {
      if (frames.length) keepIfChanged(frame());
      setTimeout(loop, EVERY);
    });
  }

  // A cleared canvas is no picture, whatever its colour: a picture has many values on more than 2 % of its pixels.
  function isPicture(grey) {
    const counts = new Uint32Array(256);
    for (const value of grey) counts[value]++;
    const rest = grey.length - counts.reduce((most, count) => Math.max(most, count), 0);
    return rest > 0.02 * grey.length && counts.filter((count) => count > 0).length > 8;
  }

  function psnr(grey, reference) {
    let sum = 0;
    for (let i = 0; i < grey.length; i++) sum += (grey[i] - reference[i]) ** 2;
    return sum === 0 ? 99 : 10 * Math.log10((255 * 255 * grey.length) / sum);
  }

  window.sampler = {
    /** Forget what was seen; the clock starts now and what is on the canvas becomes frame 0. */
    begin() {
      start = performance.now();
      frames = [frame()];
    },
    /** Milliseconds since the picture last changed. */
    quiet: () => performance.now() - start - frames[frames.length - 1].time,
    /** Every picture so far: its time, PSNR against the last, mean of max - min of red, green and blue, bound. */
    pictures() {
      const reference = frames[frames.length - 1].grey;
      return frames
        .filter((each) => isPicture(each.grey))
        .map(({ time, grey, chroma, bound }) => ({ time, db: psnr(grey, reference), chroma, bound }));
    },
    /** When there was a picture, when it stayed within 30 dB of the last frame for good, when it changed last. */
    report() {
      const pictures = frames.length > 1 ? this.pictures().slice(isPicture(frames[0].grey) ? 1 : 0) : [];
      if (!pictures.length) return null;
      let good = pictures.length - 1;
      while (good > 0 && pictures[good - 1].db >= 30) good--;
      return {
        first: pictures[0].time,
        first_db: pictures[0].db,
        db30: pictures[good].time,
        settled: pictures[pictures.length - 1].time,
        frames: pictures.length,
      };
    },
  };
  frames = [{ time: 0, grey: new Uint8Array(WIDTH * HEIGHT), chroma: 0, bound: null }];
  start = 0; // performance.now() counts from the navigation
  loop();
})();
