/* The page "Draw a digit". Strokes come from a mouse, finger or pen, or are
   replayed; after each change the drawing is prepared (prepare.js) and shown to
   the networks, and their answers and first layers are painted.

   The site's build puts two scripts beside the page (course/draw.py): data.js
   with the networks and the strokes to replay, and ONNX Runtime, which runs
   networks. Without them one can draw, and the page says what is missing. */

(() => {
  "use strict";

  const SHEET = 280;         // the drawing's own unit: a sheet is so many wide and high, however large it is shown
  const ZOOM = SHEET / 28;   // replayed strokes are in pixels of MNIST
  const FOLDER = new URL("draw/", document.currentScript.src);
  const REPLAY = 1100;       // milliseconds a replayed digit takes
  const UNSURE = 0.6;        // below this probability, we say so
  const COLOURS = {MLP: "--warm", CNN: "--accent"};

  const root = document.getElementById("draw");
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const make = (tag, properties, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const [board, seen, say, pen, prepare] = ["board", "seen", "say", "pen", "prepare"].map(part);

  // ---- the drawing: a list of strokes, each a list of points, and the lists there were before ----

  let strokes = [], before = [], active = null, replay = null;
  const nextSample = Array(10).fill(0);

  function change(to) {
    before.push(strokes);
    strokes = to;
  }

  function undo() {
    finish();
    strokes = before.pop() || [];
    redraw();
  }

  function clear() {
    finish();
    if (strokes.length) change([]);
    redraw();
  }

  function place(event) {
    const box = board.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width * SHEET, (event.clientY - box.top) / box.height * SHEET];
  }

  board.addEventListener("pointerdown", (event) => {
    if (active !== null || event.button !== 0) return;
    event.preventDefault();
    finish();
    active = event.pointerId;
    board.setPointerCapture(active);
    change([...strokes, [place(event)]]);
    redraw();
  });
  board.addEventListener("pointermove", (event) => {
    if (event.pointerId !== active) return;
    const all = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
    strokes.at(-1).push(...(all.length ? all : [event]).map(place));
    redraw();
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    board.addEventListener(end, (event) => {
      if (event.pointerId !== active) return;
      active = null;
      redraw();
    });
  }

  /* Draw one of the samples of a digit, point by point, or at once where motion is not wanted. */
  function showSample(digit) {
    const choices = window.DRAW.samples[digit];
    const sample = choices[nextSample[digit]++ % choices.length];
    const whole = sample.map((stroke) => stroke.map(([x, y]) => [x * ZOOM, y * ZOOM]));
    finish();
    change([]);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      strokes = whole;
      return redraw();
    }
    const count = whole.reduce((sum, stroke) => sum + stroke.length, 0);
    const begun = performance.now();
    const step = (now) => {
      const share = Math.min(1, Math.max(0, now - begun) / REPLAY);
      let points = Math.ceil(count * share);
      strokes = [];
      for (const stroke of whole) {
        if (points > 0) strokes.push(stroke.slice(0, points));
        points -= stroke.length;
      }
      replay = share < 1 ? {whole, frame: requestAnimationFrame(step)} : null;
      redraw();
    };
    replay = {whole, frame: requestAnimationFrame(step)};
  }

  /* No stroke goes on, and a digit that is being shown is there. */
  function finish() {
    active = null;
    if (!replay) return;
    cancelAnimationFrame(replay.frame);
    strokes = replay.whole;
    replay = null;
  }

  // ---- paint ----

  /* Smooth lines through the middles between the points. */
  function paint(context, color) {
    context.lineCap = context.lineJoin = "round";
    context.strokeStyle = color;
    context.lineWidth = Number(pen.value);
    for (const points of strokes) {
      const [[x, y], last] = [points[0], points.at(-1)];
      context.beginPath();
      context.moveTo(x, y);
      for (let i = 1; i < points.length - 1; i++) {
        const [[a, b], [c, d]] = [points[i], points[i + 1]];
        context.quadraticCurveTo(a, b, (a + c) / 2, (b + d) / 2);
      }
      context.lineTo(last[0] + (points.length === 1 ? 0.01 : 0), last[1]);
      context.stroke();
    }
  }

  function redraw() {
    const pixels = Math.round(board.clientWidth * (window.devicePixelRatio || 1));
    if (pixels && board.width !== pixels) board.width = board.height = pixels;
    const context = board.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, board.width, board.height);
    context.scale(board.width / SHEET, board.width / SHEET);
    paint(context, color("--ink"));
    const count = strokes.length;
    root.toggleAttribute("data-empty", count === 0);
    board.setAttribute("aria-label", count ? `Your drawing: ${count} stroke${count > 1 ? "s" : ""}` : "Empty sheet to draw on");
    part("undo").disabled = before.length === 0;
    part("clear").disabled = count === 0;
    answer();
  }

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const channels = (name) => [1, 3, 5].map((i) => parseInt(color(name).slice(i, i + 2), 16));

  /* Numbers from 0 to `most` as colours between two of the page's. */
  function shades(values, most, from, to) {
    const [low, high] = [channels(from), channels(to)];
    const data = new Uint8ClampedArray(values.length * 4);
    values.forEach((value, i) => {
      const share = most > 0 ? Math.max(0, value) / most : 0;
      low.forEach((c, k) => { data[4 * i + k] = c + (high[k] - c) * share; });
      data[4 * i + 3] = 255;
    });
    return data;
  }

  function paintSeen(image) {
    seen.getContext("2d").putImageData(new ImageData(shades(image, 1, "--paper", "--ink"), 28, 28), 0, 0);
  }

  /* Feature maps as tiles; a layer without width and height as a row of one-pixel tiles. */
  function paintFirst(network, values) {
    const {canvases, shape, name} = network;
    const most = values.reduce((a, b) => Math.max(a, b), 0);
    const [height, width] = shape.length === 3 ? shape.slice(1) : [1, 1];
    const data = shades(values, most, "--sunk", COLOURS[name]);
    canvases.forEach((canvas, i) => {
      const own = data.subarray(4 * i * height * width, 4 * (i + 1) * height * width);
      canvas.getContext("2d").putImageData(new ImageData(own.slice(), width, height), 0, 0);
    });
  }

  const percent = (p) => (p < 0.005 ? "" : p > 0.995 ? ">\u00a099\u00a0%" : `${Math.round(100 * p)}\u00a0%`);

  function paintAnswer(network, probabilities) {
    network.probabilities = probabilities;
    const best = probabilities ? probabilities.indexOf(Math.max(...probabilities)) : -1;
    network.digit.textContent = best < 0 ? "–" : best;
    network.sure.textContent = best < 0 ? "" : percent(probabilities[best]);
    network.bars.forEach(({cell, bar, text}, i) => {
      const p = probabilities ? probabilities[i] : 0;
      bar.style.transform = `scaleX(${p})`;
      text.textContent = percent(p);
      cell.classList.toggle("best", i === best);
    });
    return best;
  }

  // ---- what the networks answer ----

  let networks = [], running = null, again = false;
  const small = Object.assign(document.createElement("canvas"), {width: SHEET, height: SHEET});
  const pencil = small.getContext("2d", {willReadFrequently: true});

  /* The drawing as gray values, black on white, the same on every screen. */
  function gray() {
    pencil.fillStyle = "#fff";
    pencil.fillRect(0, 0, SHEET, SHEET);
    paint(pencil, "#000");
    const {data} = pencil.getImageData(0, 0, SHEET, SHEET);
    return {height: SHEET, width: SHEET, pixels: Float64Array.from({length: SHEET * SHEET}, (_, i) => data[4 * i])};
  }

  function softmax(logits) {
    const most = Math.max(...logits);
    const powers = Array.from(logits, (z) => Math.exp(z - most));
    const total = powers.reduce((a, b) => a + b);
    return powers.map((e) => e / total);
  }

  /* Once for each frame at most, however fast the pen is. */
  function answer() {
    again = true;
    running ??= keepAnswering();
  }

  async function keepAnswering() {
    while (again) {
      again = false;
      await new Promise(requestAnimationFrame);
      try { await answerOnce(); } catch (error) { fail(error); }
    }
    running = null;
  }

  root.settled = () => running; // for the tests, as is root.answer

  async function answerOnce() {
    const begun = performance.now();
    let image = new Float32Array(28 * 28);
    let empty = strokes.length === 0;
    const drawing = empty ? null : gray();
    if (!empty) {
      try { image = prepare.checked ? Prepare.digit(drawing) : Prepare.sheet(drawing); }
      catch { empty = true; } // drawn outside the sheet
    }
    const results = [];
    for (const {session, input} of networks) {
      if (empty || !session) { results.push(null); continue; }
      const tensor = new window.ort.Tensor("float32", image, [1, ...input]);
      results.push(await session.run({images: tensor}));
    }
    const took = performance.now() - begun;
    paintSeen(image);
    const digits = networks.map((network, i) => {
      const result = results[i];
      paintFirst(network, result ? result[network.first].data : new Float32Array(network.shape.reduce((a, b) => a * b)));
      return paintAnswer(network, result && softmax(result.logits.data));
    });
    root.answer = {drawing, image, digits, took, logits: results.map((result) => result && [...result.logits.data])};
    if (active === null && !replay && root.dataset.state === "ready") announce(empty, digits, took);
  }

  function announce(empty, digits, took) {
    const [sentence, time] = [part("sentence"), part("time")];
    let text = "Draw a digit, as large as you like.";
    if (!empty) {
      const sure = digits.map((digit, i) => networks[i].probabilities[digit]);
      const unsure = networks.filter((_, i) => sure[i] < UNSURE).map(({name}) => name);
      text = digits[0] === digits[1] ? `Both read a ${digits[0]}.`
        : `The MLP reads a ${digits[0]} (${percent(sure[0])}), the CNN a ${digits[1]} (${percent(sure[1])}).`;
      if (unsure.length) text += unsure.length > 1 ? " Neither is sure." : ` The ${unsure[0]} is not sure.`;
    }
    if (sentence.textContent !== text) sentence.textContent = text;
    time.textContent = empty ? "" : `Prepared and answered in ${took < 1 ? "less than\u00a01" : Math.round(took)}\u00a0ms.`;
  }

  // ---- the rows, tiles and buttons that the page's text leaves to us ----

  function build() {
    const list = window.DRAW ? window.DRAW.networks : [];
    networks = list.map((network) => {
      const side = network.name.toLowerCase();
      const rows = part("bars");
      const bars = Array.from({length: 10}, (_, i) => {
        const [bar, text] = [make("span", {className: "draw-bar"}), make("span", {className: "draw-percent"})];
        const cell = make("td", {className: `draw-${side}`}, make("div", {}, make("span", {className: "draw-track"}, bar), text));
        (rows.rows[i] || rows.appendChild(make("tr", {}))).append(cell);
        return {cell, bar, text};
      });
      const [count, height, width] = network.shape.length === 3 ? network.shape : [network.shape[0], 1, 1];
      const canvases = Array.from({length: count}, () => make("canvas", {width, height}));
      part(`first-${side}`).append(...canvases);
      part(`first-${side}`).classList.toggle("dots", width === 1);
      part(`about-${side}`).textContent = `The whole network has ${network.numbers.toLocaleString("en")} learned numbers`
        + (network.right ? ` and reads ${network.right} % of the test digits right.` : ".");
      return {...network, canvases, bars, digit: part(`digit-${side}`), sure: part(`sure-${side}`)};
    });
    [...part("bars").rows].forEach((row, i) => row.firstChild.after(make("th", {scope: "row", textContent: i})));
    if (window.DRAW) {
      for (let digit = 0; digit < 10; digit++) {
        const button = make("button", {type: "button", textContent: digit, onclick: () => showSample(digit)});
        button.setAttribute("aria-label", `Show me a ${digit}`);
        part("samples").append(button);
      }
    }
    part("undo").onclick = undo;
    part("clear").onclick = clear;
    pen.oninput = prepare.onchange = redraw;
    root.addEventListener("keydown", (event) => {
      if (event.key === "z" && (event.ctrlKey || event.metaKey) && !event.shiftKey) { event.preventDefault(); undo(); }
    });
    new MutationObserver(redraw).observe(document.documentElement, {attributeFilter: ["data-theme"]});
    new ResizeObserver(redraw).observe(board);
    addEventListener("resize", redraw); // also when a window moves to a finer screen
    root.hidden = false;
    redraw();
  }

  // ---- loading ----

  const load = (name) => new Promise((resolve, reject) => {
    document.head.append(make("script", {src: new URL(name, FOLDER), onload: resolve,
      onerror: () => reject(new Error(`${name} cannot be loaded.`))}));
  });
  const bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

  async function start() {
    try { await load("data.js"); } catch { /* built without course/draw.py */ }
    build();
    const {missing, runtime} = window.DRAW || {missing: ["The networks are not beside this page."]};
    if (missing.length) return lack(missing);
    root.dataset.state = "loading";
    part("sentence").textContent = "Loading the networks. You can draw already.";
    await load(runtime);
    const module = URL.createObjectURL(new Blob([window.DRAW_RUNTIME.module], {type: "text/javascript"}));
    window.ort = await import(module);
    const packed = new Blob([bytes(window.DRAW_RUNTIME.wasm)]).stream().pipeThrough(new DecompressionStream("gzip"));
    Object.assign(window.ort.env.wasm, {numThreads: 1, wasmBinary: await new Response(packed).arrayBuffer()});
    for (const network of networks) network.session = await window.ort.InferenceSession.create(bytes(network.model));
    delete window.DRAW_RUNTIME;
    root.dataset.state = "ready";
    answer();
  }

  function lack(sentences) {
    root.dataset.state = "missing";
    part("sentence").textContent = "The networks cannot answer in this copy of the book.";
    part("missing").hidden = false;
    part("missing").prepend(make("p", {textContent: sentences.join(" ")}));
  }

  function fail(error) {
    root.dataset.state = "failed";
    part("sentence").textContent = `The networks cannot run in this browser: ${error.message || error}`;
  }

  start().catch(fail);
})();
