// The page: asks the REST API for each image and draws what it answers.
// Names of files and sources come from outside: they are only ever set as textContent, never parsed as HTML.

const IN_FLIGHT = 2; // more would only wait in the server's queue, and hold their bytes there
const RETRY_AFTER = [500, 1000, 2000, 4000, 8000]; // milliseconds
const BUSY = [429, 503];
const FOR = [210, 30, 30];
const AGAINST = [30, 80, 200];
const LARGEST_VIEW = 512; // pixels: longer side of a view where no window is known

const byId = (id) => document.getElementById(id);
const cards = [];
let queue = [];
let active = 0;
let session = new AbortController(); // aborted by "Clear", so that answers to cleared images are dropped
let numberOfCards = 0;

// ---- Asking

/** A failure whose message is shown on the card; asking again makes sense only where `again` is set. */
class Refusal extends Error {
  constructor(message, again = false) {
    super(message);
    this.again = again;
  }
}

/** Fetches; where the server is busy or does not answer, waits and tries again. */
async function fetchPatiently(path, options, onWait) {
  for (let attempt = 0; ; attempt += 1) {
    let why;
    try {
      const response = await fetch(new URL(path, document.baseURI), options);
      if (!BUSY.includes(response.status)) return await readAnswer(response);
      why = "The server is busy";
    } catch (error) {
      if (error instanceof Refusal || error.name === "AbortError") throw error;
      why = "The server does not answer";
    }
    if (attempt === RETRY_AFTER.length) throw new Refusal(`${why}. Ask again later.`, true);
    onWait(`${why}; waiting to ask again …`);
    await pause(RETRY_AFTER[attempt], options.signal);
  }
}

async function readAnswer(response) {
  const text = await response.text();
  let document = null;
  try {
    document = JSON.parse(text);
  } catch {
    throw new Refusal(`HTTP ${response.status}: the answer is no JSON.`, true);
  }
  if (response.ok) return document;
  // One image was sent, so that it need not be told which row is meant.
  throw new Refusal(String(document.error ?? `HTTP ${response.status}`).replace(/^image_bytes\[0\]: /, ""), response.status >= 500);
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
  });
}

function toBase64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.split(",")[1] ?? "");
    reader.onerror = () => reject(new Refusal("The file cannot be read. Is it a folder, or gone?", true));
    reader.readAsDataURL(file);
  });
}

/** Asks for the description each time, because the server may have changed to another version meanwhile. */
async function fetchModel(signal, onWait) {
  const model = await fetchPatiently("model.json", { signal }, onWait);
  const points = model.operating_points;
  const input = points?.input;
  const kind = input?.representation === "dct" ? "spectrum" : input?.representation;
  const windows = input?.views > 1 ? `up to ${input.views} windows` : "a window";
  const window = input ? `, ${kind} of ${windows} of ${input.size} × ${input.size} pixels` : "";
  const count = points ? Object.keys(points.sources).length : 0;
  const sources = points ? `, ${count} source${count === 1 ? "" : "s"}` : "";
  byId("model").className = "";
  byId("model").textContent = `${model.name}, version ${model.version}${window}${sources}`;
  return model;
}

function refuseBeforeSending(file, picture, limits) {
  const whole = (number) => number.toLocaleString("en");
  if (file.size > limits.image_bytes) {
    throw new Refusal(`The file holds ${whole(file.size)} bytes, above the limit of ${whole(limits.image_bytes)}.`);
  }
  if (picture && picture.naturalWidth * picture.naturalHeight > limits.image_pixels) {
    const size = `${whole(picture.naturalWidth)} × ${whole(picture.naturalHeight)}`;
    throw new Refusal(`The image has ${size} pixels, above the limit of ${whole(limits.image_pixels)}.`);
  }
}

function answerFrom({ outputs }) {
  try {
    const names = outputs.source_names[0];
    return {
      verdict: outputs.verdict[0],
      rows: [
        { name: "detection", isSource: false, probability: outputs.fake_probability[0], map: outputs.detection_heatmap[0] },
        ...names.map((name, n) => ({
          name, isSource: true, probability: outputs.source_probabilities[0][n], map: outputs.source_heatmaps[0][n],
        })),
      ],
    };
  } catch {
    throw new Refusal("The server's answer is none of the contract's.");
  }
}

async function ask(card, signal) {
  const onWait = (text) => show(card, "asking", "Waiting", text);
  show(card, "asking", "Asking", "The model looks at it …");
  const model = await fetchModel(signal, onWait);
  const picture = await card.picture;
  refuseBeforeSending(card.file, picture, model.limits);
  const inputs = { image_bytes: [{ b64: await toBase64(card.file) }] };
  const body = JSON.stringify({ signature_name: "explain", inputs });
  const path = `../v1/models/${encodeURIComponent(model.name)}:predict`;
  const answer = answerFrom(await fetchPatiently(path, { method: "POST", body, signal }, onWait));
  signal.throwIfAborted();
  showAnswer(card, answer, model.operating_points, picture);
}

/** Starts waiting cards as long as fewer than IN_FLIGHT are being asked for. */
function startNext() {
  while (active < IN_FLIGHT && queue.length) {
    const card = queue.shift();
    const { signal } = session;
    active += 1;
    ask(card, signal)
      .catch((error) => { if (!signal.aborted) showError(card, error); })
      .finally(() => { active -= 1; showSummary(); startNext(); });
  }
}

// ---- Pictures

/**
 * Shows the file on its card. Returns the image, or null where this browser cannot decode it: the server has the last
 * word. Browsers turn a photograph upright by its EXIF orientation, and so does the served graph.
 */
async function loadPicture(file, image) {
  try {
    image.src = URL.createObjectURL(file);
    await image.decode();
    return image;
  } catch {
    image.hidden = true;
    return null;
  }
}

/** Height and width of the only window that the model sees; undefined where it judges whole images, or none is known. */
function windowSize(input) {
  return input?.views ? undefined : input?.size;
}

/** The part of the image that the model looks at: the window at its centre, or all of it where no window is known. */
function windowOf(picture, size) {
  const { naturalWidth: width, naturalHeight: height } = picture;
  if (!size) return { left: 0, top: 0, width, height };
  return { left: Math.floor((width - size) / 2), top: Math.floor((height - size) / 2), width: size, height: size };
}

function outlineWindow(outline, picture, seen) {
  const longer = Math.max(picture.naturalWidth, picture.naturalHeight);
  const percent = (pixels) => `${(100 * pixels) / longer}%`;
  outline.style.left = percent((longer - picture.naturalWidth) / 2 + seen.left);
  outline.style.top = percent((longer - picture.naturalHeight) / 2 + seen.top);
  outline.style.width = percent(seen.width);
  outline.style.height = percent(seen.height);
  outline.hidden = false;
}

function drawWindow(canvas, picture, seen, isSpectral) {
  const scale = Math.min(1, LARGEST_VIEW / Math.max(seen.width, seen.height));
  canvas.width = Math.max(1, Math.round(seen.width * scale));
  canvas.height = Math.max(1, Math.round(seen.height * scale));
  // Pixels stay squares when enlarged: smoothing would invent what is not in a small window.
  canvas.classList.toggle("pixels", Math.max(canvas.width, canvas.height) < canvas.parentElement.clientWidth);
  const context = canvas.getContext("2d", { willReadFrequently: isSpectral });
  context.drawImage(picture, seen.left, seen.top, seen.width, seen.height, 0, 0, canvas.width, canvas.height);
  if (isSpectral) context.putImageData(spectrumOf(context.getImageData(0, 0, canvas.width, canvas.height)), 0, 0);
}

/** Log-magnitude of the orthonormal DCT-II of a square window's luma, stretched to 0..255; constant term top left. */
function spectrumOf({ data, width: size }) {
  const luma = Float64Array.from({ length: size * size }, (_, i) =>
    Math.round(0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2]));
  const basis = Float64Array.from({ length: size * size }, (_, i) => {
    const [frequency, position] = [Math.floor(i / size), i % size];
    return Math.sqrt((frequency ? 2 : 1) / size) * Math.cos((Math.PI * (2 * position + 1) * frequency) / (2 * size));
  });
  // basis · luma · basisᵀ; each product is written transposed, so that twice the same one gives it.
  const magnitude = timesTransposed(basis, timesTransposed(basis, luma, size), size).map((v) => Math.log(Math.abs(v) + 1));
  const peak = Math.max(magnitude.reduce((a, b) => Math.max(a, b)), 1e-6);
  const picture = new ImageData(size, size);
  magnitude.forEach((value, i) => {
    picture.data.fill(Math.round((255 * value) / peak), 4 * i, 4 * i + 3);
    picture.data[4 * i + 3] = 255;
  });
  return picture;
}

/** Returns (a · b)ᵀ of two square matrices in row order. */
function timesTransposed(a, b, size) {
  const product = new Float64Array(size * size);
  for (let row = 0; row < size; row += 1) {
    for (let inner = 0; inner < size; inner += 1) {
      const factor = a[row * size + inner];
      for (let column = 0; column < size; column += 1) product[column * size + row] += factor * b[inner * size + column];
    }
  }
  return product;
}

/** Stretches a map bilinearly over the canvas: hue tells the sign, opacity how strong it is. Returns its own peak. */
function drawHeatmap(canvas, map, width, height) {
  const peak = map.flat().reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  [canvas.width, canvas.height] = [width, height];
  const picture = new ImageData(width, height);
  const columns = sampling(width, map[0].length);
  sampling(height, map.length).forEach(([top, bottom, down], y) => {
    columns.forEach(([left, right, along], x) => {
      const upper = map[top][left] * (1 - along) + map[top][right] * along;
      const lower = map[bottom][left] * (1 - along) + map[bottom][right] * along;
      const value = peak ? (upper * (1 - down) + lower * down) / peak : 0;
      picture.data.set([...(value < 0 ? AGAINST : FOR), Math.round(255 * Math.abs(value))], 4 * (y * width + x));
    });
  });
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return peak;
}

/** For each of `length` places: its two neighbours among `cells`, and the weight of the second. */
function sampling(length, cells) {
  return Array.from({ length }, (_, i) => {
    const at = Math.min(Math.max(((i + 0.5) * cells) / length - 0.5, 0), cells - 1);
    const first = Math.floor(at);
    return [first, Math.min(first + 1, cells - 1), at - first];
  });
}

// ---- Cards

const part = (card, selector) => card.element.querySelector(selector);

function show(card, state, word, sentence) {
  card.element.dataset.state = state;
  part(card, ".word").textContent = word;
  part(card, ".sentence").textContent = sentence;
  part(card, ".retry").hidden = true;
}

function setKind(card, kind) {
  card.element.dataset.kind = kind;
  part(card, ".shape use").setAttribute("href", `#shape-${kind}`);
}

function showError(card, error) {
  card.result = { path: card.path, verdict: null, fake_probability: null, source_probabilities: {}, error: error.message };
  show(card, "done", "Not judged", error.message);
  setKind(card, "error");
  part(card, ".retry").hidden = !error.again;
}

/** The verdict in words: what kind it is, the large word, and the sentence that explains it. */
function explain(verdict, claiming, band) {
  const others = claiming.filter((name) => name !== verdict);
  const claimants = claiming.length ? claiming.join(", ") : "a source";
  switch (verdict) {
    case "real":
      return ["real", "Camera-made", "Detection says camera-made, and no source claims it."];
    case "unknown_generator":
      return ["unknown", "Unknown generator", "Synthesised, by a generator that no head knows."];
    case "contradiction":
      return ["contradiction", "Contradiction", `Detection says camera-made, yet ${claimants} claims it. Look at it yourself.`];
    case "uncertain": {
      const range = band ? `: its probability lies from ${band[0].toFixed(3)} to ${band[1].toFixed(3)}` : "";
      const yet = claiming.length ? ` ${claimants} claims it, which decides nothing here.` : "";
      return ["uncertain", "Uncertain", `Detection cannot tell${range}.${yet} Look at it yourself.`];
    }
    default: {
      const weaker = others.length ? `; also, less strongly, by ${others.join(", ")}` : "";
      return ["source", "Synthesised", `Synthesised; claimed by ${verdict}${weaker}.`];
    }
  }
}

function showAnswer(card, { verdict, rows }, points, picture) {
  const [detection, ...sources] = rows;
  card.result = {
    path: card.path,
    verdict,
    fake_probability: detection.probability,
    source_probabilities: Object.fromEntries(sources.map(({ name, probability }) => [name, probability])),
  };
  for (const row of rows) {
    row.threshold = row.isSource ? points?.sources[row.name] : points?.detection;
    // Compared as float32, as the served graph does.
    row.claims = row.threshold !== undefined && Math.fround(row.probability) >= Math.fround(row.threshold);
  }
  const claiming = sources.filter((row) => row.claims).map((row) => row.name);
  const [kind, word, sentence] = explain(verdict, claiming, points?.uncertain_band);
  show(card, "done", word, sentence);
  setKind(card, kind);
  card.element.dataset.verdict = verdict;
  card.isSpectral = points?.input?.representation === "dct";
  if (picture) showView(card, picture, windowSize(points?.input));
  const shown = rows.find((row) => row.isSource && row.name === verdict) ?? detection;
  for (const row of rows) part(card, ".rows").append(rowElement(card, row, row === shown));
  part(card, ".rows").hidden = false;
  if (picture) showHeatmap(card, shown);
}

function showView(card, picture, size) {
  const seen = windowOf(picture, size);
  part(card, ".view").hidden = false; // before it is drawn: how it is enlarged depends on its size on the page
  drawWindow(part(card, ".window"), picture, seen, card.isSpectral);
  if (size) outlineWindow(part(card, ".outline"), picture, seen);
  const sizes = `${picture.naturalWidth} × ${picture.naturalHeight}`;
  part(card, ".image figcaption").textContent = size ? `${sizes}; outlined: ${size} × ${size}` : sizes;
}

function rowElement(card, row, isShown) {
  const element = byId("row").content.cloneNode(true).firstElementChild;
  const set = (selector, text) => { element.querySelector(selector).textContent = text; };
  const label = row.isSource ? row.name : "Synthesised";
  const [input, bar] = [element.querySelector("input"), element.querySelector(".bar")];
  element.classList.toggle("claims", row.claims);
  element.dataset.name = row.name;
  set(".label", label);
  element.querySelector(".label").title = label;
  set(".number", row.probability.toFixed(3));
  set(".threshold", row.threshold === undefined ? "" : `≥ ${row.threshold.toFixed(3)}`);
  bar.setAttribute("aria-label", `probability: ${label}`);
  bar.setAttribute("aria-valuenow", row.probability);
  element.querySelector(".fill").style.width = `${100 * row.probability}%`;
  element.querySelector(".tick").style.left = `${100 * (row.threshold ?? 0)}%`;
  element.querySelector(".tick").hidden = row.threshold === undefined;
  input.name = `heatmap-${card.number}`;
  input.checked = isShown;
  input.addEventListener("change", () => showHeatmap(card, row));
  return element;
}

function showHeatmap(card, row) {
  const view = part(card, ".window");
  const peak = drawHeatmap(part(card, ".heatmap"), row.map, view.width, view.height);
  const of = row.isSource ? row.name : "synthesised";
  const where = card.isSpectral ? "spectrum" : "window";
  part(card, ".what").textContent = `${where}; evidence: ${of}`;
  part(card, ".low").textContent = `against −${peak.toPrecision(2)}`;
  part(card, ".high").textContent = `+${peak.toPrecision(2)} for`;
  view.setAttribute("aria-label", `The ${where} that the model looks at, under the heatmap of ${of}`);
}

function addCard(file) {
  const element = byId("card").content.cloneNode(true).firstElementChild;
  numberOfCards += 1;
  const card = { file, element, path: file.webkitRelativePath || file.name, number: numberOfCards, result: null };
  part(card, ".name").textContent = card.path;
  part(card, ".name").title = card.path;
  part(card, ".retry").addEventListener("click", () => enqueue(card));
  byId("cards").append(element);
  card.picture = loadPicture(file, part(card, "img"));
  cards.push(card);
  enqueue(card);
}

function enqueue(card) {
  card.result = null;
  delete card.element.dataset.kind;
  show(card, "waiting", "Waiting", "In the queue …");
  queue.push(card);
  showSummary();
  startNext();
}

// ---- The whole page

function showSummary() {
  const words = { real: "camera-made", unknown_generator: "unknown generator", contradiction: "contradiction", uncertain: "uncertain" };
  const counts = new Map();
  for (const { result } of cards) {
    const word = !result ? "waiting" : result.error ? "not judged" : words[result.verdict] ?? result.verdict;
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const parts = [...counts].map(([word, count]) => `${count} ${word}`);
  byId("summary").textContent = `${cards.length} image${cards.length === 1 ? "" : "s"}: ${parts.join(", ")}`;
  byId("results").hidden = !cards.length;
  byId("download").disabled = !cards.some((card) => card.result);
}

function download() {
  const lines = cards.filter((card) => card.result).map((card) => `${JSON.stringify(card.result)}\n`);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(lines, { type: "application/jsonl" }));
  link.download = "predictions.jsonl";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000); // the download may begin after the click returns
}

function clear() {
  session.abort();
  session = new AbortController();
  queue = [];
  for (const card of cards.splice(0)) URL.revokeObjectURL(part(card, "img").src);
  byId("cards").replaceChildren();
  showSummary();
  byId("files").focus();
}

function listen() {
  const isFiles = (event) => event.dataTransfer?.types.includes("Files");
  const dragging = (on) => (event) => {
    if (!isFiles(event)) return;
    event.preventDefault(); // else the browser opens the file in place of the page
    document.body.classList.toggle("dragging", on);
  };
  document.addEventListener("dragover", dragging(true));
  document.addEventListener("dragleave", dragging(false));
  document.addEventListener("drop", (event) => { dragging(false)(event); [...event.dataTransfer.files].forEach(addCard); });
  document.addEventListener("paste", (event) => [...event.clipboardData.files].forEach(addCard));
  byId("files").addEventListener("change", ({ target }) => {
    [...target.files].forEach(addCard);
    target.value = ""; // so that the same file can be chosen again
  });
  byId("opacity").addEventListener("input", ({ target }) => {
    document.documentElement.style.setProperty("--heat-opacity", target.value / 100);
  });
  byId("download").addEventListener("click", download);
  byId("clear").addEventListener("click", clear);
}

listen();
fetchModel(session.signal, (text) => { byId("model").textContent = text; }).catch((error) => {
  byId("model").className = "failed";
  byId("model").textContent = error.message;
});
