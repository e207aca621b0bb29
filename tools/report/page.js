"use strict";
/* Fills the page from the JSON in #data.  Every text from outside goes through text nodes and attributes, never HTML. */
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const images = data.images, verdicts = data.eval.verdicts;
const defective = images.filter(image => image.defective).length, good = images.length - defective;
const CARDS = 12, ROWS = 100;
const byId = id => document.getElementById(id);

function add(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {}))
        if (value !== null && value !== undefined && value !== false)
            element.setAttribute(name, value === true ? "" : value);
    element.append(...children);
    return element;
}
const make = (tag, attributes, ...children) => add(document.createElement(tag), attributes, children);
const draw = (tag, attributes, ...children) =>
    add(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

/* ---- numbers as people read them ---- */

/* As the command prints scores: from 10000 on the logarithm. */
function scoreText(score) {
    if (score === null)
        return "–";
    return score >= 10000 ? "e^" + Math.log(score).toFixed(2) : score >= 100 ? score.toFixed(2) : score.toFixed(4);
}
const indexText = index => index === null ? "–" : index.toFixed(3);
const percent = share => Number.isNaN(share) ? "–" : (100 * share).toFixed(1) + " %";
const figure = value => value === null || Number.isNaN(value) ? "–" : value.toFixed(4);
const counted = (number, one, more) => number + " " + (number === 1 ? one : more);

/* ---- thresholds: every place where the ranked images can be cut into anomalous and normal ones ---- */

const ranking = images.slice().sort((a, b) => b.score - a.score);

function makeCuts() {
    const cuts = [];
    let hits = 0;
    for (let above = 0; above <= ranking.length; above++) {
        if (above > 0 && ranking[above - 1].defective)
            hits++;
        const high = above > 0 ? ranking[above - 1] : null, low = above < ranking.length ? ranking[above] : null;
        if (high && low && !(high.score > low.score))
            continue; /* equal scores are not divided */
        let threshold = !high ? low.score : !low ? high.score / 2 : Math.sqrt(low.score) * Math.sqrt(high.score);
        if (low && high && !(threshold >= low.score && threshold < high.score))
            threshold = low.score;
        const indices = [high, low].filter(image => image && image.index !== null).map(image => image.index);
        const alarms = above - hits, missed = defective - hits;
        cuts.push({above, hits, alarms, missed, threshold,
            index: indices.length ? indices.reduce((sum, index) => sum + index, 0) / indices.length : null,
            f1: 2 * hits / (hits + alarms + defective),
            balanced: (hits / defective + (good - alarms) / good) / 2});
    }
    return cuts;
}
const cuts = makeCuts();
const cutOf = threshold => {
    const above = images.filter(image => image.score > threshold).length;
    return cuts.findIndex(cut => cut.above === above);
};
const bestCut = key => cuts.reduce((best, cut, i) => cut[key] > cuts[best][key] ? i : best, 0);

/* Thresholds with names.  A cut that holds one has exactly that threshold. */
const points = [];
function addPoint(name, cut, threshold) {
    points.push({name, cut});
    if (threshold !== null && !cuts[cut].exact) {
        cuts[cut].threshold = threshold;
        cuts[cut].exact = true;
    }
}
if (verdicts) {
    addPoint("the model's", cutOf(verdicts.threshold), verdicts.threshold);
    cuts[cutOf(verdicts.threshold)].index = 0.5;
}
for (const [name, threshold] of Object.entries(data.model.operating_points))
    addPoint(name, cutOf(threshold), threshold);
addPoint("best F1", bestCut("f1"), null);
addPoint("best balanced accuracy", bestCut("balanced"), null);

let current = points[0].cut;
const isAnomalous = image => image.score > cuts[current].threshold;
const verdictOf = image => isAnomalous(image) ? "anomalous" : "normal";
const mistakeOf = image => isAnomalous(image) === image.defective ? "" : image.defective ? "missed" : "false alarm";
/* How wrong the verdict is: above 0 for a mistake, the more the further the score is from the threshold. */
function wrongness(image) {
    const far = Math.log(Math.max(image.score, 1e-300)) - Math.log(Math.max(cuts[current].threshold, 1e-300));
    return image.defective ? -far : far;
}

/* ---- what does not change ---- */

function fillFacts() {
    const model = data.model, facts = byId("facts");
    const fact = (name, value) => value && facts.append(make("dt", null, name), make("dd", null, value));
    document.title = data.title;
    byId("title").append(data.title);
    fact("model", model.path);
    fact("model id", data.eval.model_id);
    fact("preset", model.preset || "not known");
    fact("backbone", model.backbone);
    fact("learned from", counted(model.train_images, "image", "images") +
        (model.holdout_images ? "; verdicts by the scores of " + counted(model.holdout_images, "good one", "good ones") : ""));
    for (const [key, value] of Object.entries(model.notes))
        fact("note: " + key, value);
    fact("test set", `${data.data}: ${good} good, ${defective} defective, ${counted(data.eval.views, "view", "views")}`);
    if (verdicts && verdicts.false_alarm_rate !== null)
        fact("false-alarm rate kept", String(Number(verdicts.false_alarm_rate.toPrecision(3))));
    fact("made by", "libdifferent " + data.library);

    const warnings = [];
    if (model.backbone_random)
        warnings.push("The backbone has random weights that stand in for trained ones.");
    if (data.eval.unlike > 0)
        warnings.push(counted(data.eval.unlike, "image is", "images are") + " unlike those learned from: " + data.warnings + ".");
    if (!verdicts)
        warnings.push("The model gives no verdicts: it holds no scores of good images.");
    byId("warnings").hidden = warnings.length === 0;
    byId("warnings").append(warnings.join(" "));
}

function fillFigures() {
    const {image, pixel, boxes} = data.eval, body = byId("figures");
    const row = (name, value) => body.append(make("tr", null, make("th", {scope: "row"}, name), make("td", null, value)));
    row("image AUROC", figure(image.auroc));
    row("95 % interval (bootstrap)", figure(image.auroc_ci95[0]) + " to " + figure(image.auroc_ci95[1]));
    row("average precision", figure(image.ap));
    row("best F1", figure(image.f1_max));
    if (pixel) {
        row("pixel AUROC", figure(pixel.auroc));
        row("AUPRO, up to 30 % false positives", figure(pixel.aupro));
    }
    if (boxes) {
        row("good images with a box", `${boxes.good_with_boxes} of ${good}`);
        if (boxes.defects !== undefined)
            row("defects hit by a box", `${boxes.defects_hit} of ${boxes.defects}`);
        row("boxes per good image", boxes.per_good_image.toFixed(2));
        row("boxes per defective image", boxes.per_defective_image.toFixed(2));
    }
}

/* ---- charts ---- */

const CHART = {width: 360, height: 250, left: 44, right: 8, top: 18, bottom: 40};
const inner = {width: CHART.width - CHART.left - CHART.right, height: CHART.height - CHART.top - CHART.bottom};
const atX = share => CHART.left + share * inner.width;
const atY = share => CHART.top + (1 - share) * inner.height;
const chart = (...children) => draw("svg", {viewBox: `0 0 ${CHART.width} ${CHART.height}`, role: "img"}, ...children);
const label = (x, y, text, anchor, kind) => draw("text", {x, y, "text-anchor": anchor, class: kind}, text);

/* Linear, with everything far out in one last bin: scores of defects can be many times those of good images. */
function makeHistogram() {
    const byIndex = images.every(image => image.index !== null), BINS = 38, OUT = 2; /* OUT: the last bin's width, in bins */
    const goodScores = ranking.filter(image => !image.defective).map(image => image.score);
    const high = byIndex ? 0.95 : 2 * goodScores[Math.floor(goodScores.length / 20)] || 1;
    const valueOf = image => byIndex ? image.index : image.score;
    const counts = [new Array(BINS + 1).fill(0), new Array(BINS + 1).fill(0)];
    for (const image of images)
        counts[image.defective ? 1 : 0][Math.min(Math.floor(valueOf(image) / high * BINS), BINS)]++;
    const most = Math.max(1, ...counts[0].slice(0, BINS), ...counts[1].slice(0, BINS));
    const unit = inner.width / (BINS + 1 + OUT), middle = CHART.top + inner.height / 2, room = inner.height / 2 - 14;
    const svg = chart();
    counts.forEach((row, kind) => row.forEach((count, bin) => {
        if (count === 0)
            return;
        const tall = Math.min(count / most, 1) * room, wide = bin === BINS ? OUT * unit : unit;
        const x = CHART.left + (bin === BINS ? bin + 1 : bin) * unit, y = kind ? middle : middle - tall;
        svg.append(draw("rect", {x: x + 0.5, y, width: wide - 1, height: tall, class: kind ? "bad" : "good"}));
        if (bin === BINS)
            svg.append(label(x + wide / 2, kind ? y + tall + 12 : y - 3, count, "middle", kind ? "bad" : "good"));
    }));
    const end = CHART.left + BINS * unit, foot = CHART.height - CHART.bottom;
    const limit = draw("line", {class: "limit", y1: CHART.top - 4, y2: foot});
    svg.append(draw("path", {class: "axis", d: `M${CHART.left} ${middle}H${end}M${end + unit} ${middle}H${CHART.width - CHART.right}`}),
        label(CHART.left, CHART.top - 6, "good ↑", "start", "good"), label(CHART.left, foot + 2, "defective ↓", "start", "bad"));
    for (const share of [0, 0.25, 0.5, 0.75])
        if (byIndex)
            svg.append(label(CHART.left + share / high * BINS * unit, foot + 18, share, "middle"));
    if (!byIndex)
        svg.append(label(CHART.left, foot + 18, "0", "middle"), label(end, foot + 18, scoreText(high), "end"));
    svg.append(label(CHART.width - CHART.right, foot + 18, "≥ " + (byIndex ? high : ""), "end"),
        label(atX(0.5), foot + 34, byIndex ? "index" : "score", "middle"), limit);
    byId("histogram-caption").append(byIndex ? "Index: 0.25 typical good image, 0.5 the model's threshold" : "Scores");
    byId("histogram").append(svg);
    return () => {
        const value = byIndex ? cuts[current].index : cuts[current].threshold;
        const x = value < high ? CHART.left + Math.max(value, 0) / high * BINS * unit : end + unit / 2;
        limit.setAttribute("x1", x);
        limit.setAttribute("x2", x);
        svg.setAttribute("aria-label", `Histogram of the ${byIndex ? "index" : "score"} of ${good} good and ${defective} ` +
            `defective images; the threshold lies at ${byIndex ? indexText(value) : scoreText(value)}`);
    };
}

/* places: (x, y) of each cut, both 0 .. 1; null for a cut without. */
function makeCurve(id, places, x, y, describe) {
    const there = places.filter(place => place), dot = draw("circle", {class: "here", r: 6}), svg = chart();
    const line = there.map(([px, py]) => `${atX(px).toFixed(2)} ${atY(py).toFixed(2)}`).join("L");
    svg.append(draw("path", {class: "axis", d: `M${atX(0)} ${atY(1)}V${atY(0)}H${atX(1)}`}));
    for (const share of [0, 0.5, 1])
        svg.append(label(atX(share), atY(0) + 16, share, share === 1 ? "end" : "middle"),
            label(CHART.left - 6, atY(share) + 4, share, "end"));
    svg.append(draw("path", {class: "curve", d: "M" + line}), label(atX(0.5), atY(0) + 34, x, "middle"),
        draw("text", {"text-anchor": "middle", transform: `translate(12 ${atY(0.5)}) rotate(-90)`}, y), dot);
    byId(id).append(svg);
    return () => {
        const place = places[current];
        dot.style.display = place ? "" : "none";
        if (place) {
            dot.setAttribute("cx", atX(place[0]));
            dot.setAttribute("cy", atY(place[1]));
        }
        svg.setAttribute("aria-label", describe(place));
    };
}

/* ---- images ---- */

/* Which images have pictures, where not all do. */
function fillPictured() {
    const pictured = kind => images.filter(image => image.defective === kind && image.original).length;
    byId("pictured").hidden = images.every(image => image.original);
    byId("pictured").append(`Pictures of ${pictured(false) + pictured(true)} of ${counted(images.length, "image", "images")}: ` +
        `the ${pictured(false)} good ones that score highest and the ${pictured(true)} defective ones that score lowest, ` +
        "where the mistakes are at any threshold. All images are in the table and in the CSV. Made with eval --pictures N, a " +
        "report shows more or fewer.");
}

function makePictures(image) {
    if (!image.original)
        return make("p", {class: "muted"}, "no pictures of this image in this report");
    const boxes = image.boxes.map(box => draw("rect", {x: box.x, y: box.y, width: box.width, height: box.height}));
    const one = (source, name, ...more) => make("figure", null,
        make("div", {class: "picture"}, make("img", {src: source, alt: `${image.path}: ${name}`}), ...more),
        make("figcaption", null, name));
    const pictures = make("div", {class: "pictures"}, one(image.original, "original"));
    if (image.overlay)
        pictures.append(one(image.overlay, "overlay", draw("svg", {viewBox: `0 0 ${image.width} ${image.height}`,
            preserveAspectRatio: "none", role: "img", "aria-label": counted(boxes.length, "box", "boxes")}, ...boxes)));
    if (image.mask)
        pictures.append(one(image.mask, "mask"));
    return pictures;
}

function describe(image) {
    const parts = [image.defect, "score " + scoreText(image.score)];
    if (image.index !== null)
        parts.push("index " + indexText(image.index));
    if (image.peak !== null)
        parts.push("map's peak " + scoreText(image.peak), counted(image.boxes.length, "box", "boxes"));
    return parts.join(", ");
}

function fillVerdict(element, image) {
    const mistake = mistakeOf(image);
    element.replaceChildren("called " + verdictOf(image), ...mistake ? [": ", make("span", {class: "wrong"}, mistake)] : []);
}

const cards = new Map();
function cardOf(image) {
    let card = cards.get(image);
    if (!card) {
        const name = make("button", {type: "button", class: "link"}, image.path), verdict = make("p");
        name.addEventListener("click", () => view(image));
        card = {verdict, element: make("article", {class: "card", "aria-label": image.path}, make("p", null, name),
            make("p", null, describe(image)), verdict, makePictures(image))};
        if (image.warnings)
            card.element.append(make("p", {class: "muted"}, "unlike those learned from: " + image.warnings));
        cards.set(image, card);
    }
    fillVerdict(card.verdict, image);
    card.element.classList.toggle("mistake", mistakeOf(image) !== "");
    return card.element;
}

const orders = {
    wrong: (a, b) => wrongness(b) - wrongness(a),
    highest: (a, b) => b.score - a.score,
    lowest: (a, b) => a.score - b.score,
    name: (a, b) => a.path < b.path ? -1 : 1
};
let shownCards = CARDS, shownRows = ROWS, chosen = [];

function filtered() {
    const kind = byId("kind").value, verdict = byId("verdict").value, mistake = byId("mistake").value;
    const name = byId("name").value.toLowerCase();
    return images.filter(image => {
        const wrong = mistakeOf(image);
        return (!kind || kind === (image.defective ? "defect:" + image.defect : "good")) &&
            (!verdict || verdict === verdictOf(image)) &&
            (!mistake || (mistake === "wrong" ? wrong !== "" : mistake === "right" ? wrong === "" : wrong === mistake)) &&
            image.path.toLowerCase().includes(name);
    });
}

const columns = [
    {name: "image", of: image => image.path},
    {name: "kind", of: image => image.defect},
    {name: "verdict", of: verdictOf},
    {name: "mistake", of: mistakeOf},
    {name: "score", of: image => image.score, text: scoreText, number: true},
    {name: "index", of: image => image.index, text: indexText, number: true},
    {name: "map's peak", of: image => image.peak, text: scoreText, number: true},
    {name: "boxes", of: image => image.peak === null ? null : image.boxes.length, text: count => count === null ? "–" : count,
        number: true},
    {name: "warnings", of: image => image.warnings}
];
let sorted = {column: columns[4], ascending: false};

function makeTableHead() {
    const row = byId("table").tHead.rows[0];
    for (const column of columns) {
        const button = make("button", {type: "button"}, column.name);
        button.addEventListener("click", () => {
            sorted = {column, ascending: sorted.column === column ? !sorted.ascending : !column.number};
            fillTable();
        });
        column.head = make("th", {scope: "col", class: column.number ? "number" : null}, button);
        row.append(column.head);
    }
}

function fillTable() {
    const {column, ascending} = sorted, sign = ascending ? 1 : -1;
    const rows = chosen.slice().sort((a, b) => {
        const x = column.of(a), y = column.of(b);
        return x === y ? 0 : sign * (x < y || x === null ? -1 : 1);
    });
    for (const each of columns) {
        each.head.toggleAttribute("aria-sort", each === column);
        if (each === column)
            each.head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
        each.head.firstChild.replaceChildren(each.name + (each === column ? ascending ? " ↑" : " ↓" : ""));
    }
    byId("table").tBodies[0].replaceChildren(...rows.slice(0, shownRows).map(image => make("tr", null, ...columns.map((each, i) => {
        const value = each.of(image);
        if (i > 0)
            return make("td", {class: each.number ? "number" : each.name === "mistake" ? "wrong" : null},
                each.text ? each.text(value) : value);
        const name = make("button", {type: "button", class: "link"}, value);
        name.addEventListener("click", () => view(image));
        return make("td", null, name);
    }))));
    byId("more-rows").hidden = rows.length <= shownRows;
}

function fillImages() {
    chosen = filtered().sort(orders[byId("order").value]);
    byId("gallery").replaceChildren(...chosen.slice(0, shownCards).map(cardOf));
    byId("more-cards").hidden = chosen.length <= shownCards;
    byId("shown").replaceChildren(`${chosen.length} of ${counted(images.length, "image", "images")}` +
        (chosen.length > shownCards ? `, the first ${shownCards} shown` : ""));
    fillTable();
}

/* ---- one image, large ---- */

let viewed = null;
function view(image) {
    const verdict = make("p"), at = chosen.indexOf(image);
    viewed = image;
    fillVerdict(verdict, image);
    byId("viewer-title").replaceChildren(image.path);
    byId("viewer-content").replaceChildren(make("p", null, describe(image)), verdict,
        ...image.warnings ? [make("p", null, "unlike those learned from: " + image.warnings)] : [], makePictures(image));
    byId("viewer-previous").disabled = at <= 0;
    byId("viewer-next").disabled = at < 0 || at + 1 >= chosen.length;
    if (!byId("viewer").open)
        byId("viewer").showModal();
}
function step(by) {
    const next = chosen[chosen.indexOf(viewed) + by];
    if (next)
        view(next);
}

/* ---- figures of the images, for a spreadsheet ---- */

function csv() {
    const quote = value => {
        const text = value === null ? "" : String(value);
        return /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
    };
    const rows = [["path", "defect", "defective", "score", "index", "threshold", "anomalous", "mistake", "map_peak", "boxes",
        "width", "height", "warnings"]];
    for (const image of chosen)
        rows.push([image.path, image.defect, Number(image.defective), image.score, image.index, cuts[current].threshold,
            Number(isAnomalous(image)), mistakeOf(image), image.peak, image.peak === null ? null : image.boxes.length,
            image.width, image.height, image.warnings]);
    return rows.map(row => row.map(quote).join(",") + "\r\n").join("");
}

function download() {
    const address = URL.createObjectURL(new Blob([csv()], {type: "text/csv"}));
    make("a", {href: address, download: "images.csv"}).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
}

/* ---- what the threshold changes ---- */

const slider = byId("slider");
slider.max = cuts.length - 1;

function fillVerdicts() {
    const cut = cuts[current], {hits, alarms, missed} = cut, index = cut.index === null ? "" : `, index ${indexText(cut.index)}`;
    const set = (id, text) => byId(id).replaceChildren(String(text));
    const summary = `${counted(alarms, "false alarm", "false alarms")} in ${good} good images, ${missed} missed of ` +
        counted(defective, "defective one", "defective ones");
    slider.value = cuts.length - 1 - current;
    slider.setAttribute("aria-valuetext", `score above ${scoreText(cut.threshold)}${index}: ${summary}`);
    set("threshold", scoreText(cut.threshold) + index);
    set("summary", summary);
    set("true-negatives", good - alarms);
    set("false-positives", alarms);
    set("false-negatives", missed);
    set("true-positives", hits);
    byId("false-positives").classList.toggle("wrong", alarms > 0);
    byId("false-negatives").classList.toggle("wrong", missed > 0);
    set("false-alarm-rate", percent(alarms / good));
    set("miss-rate", percent(missed / defective));
    set("precision", percent(hits / (hits + alarms)));
    set("recall", percent(hits / defective));
    set("f1", figure(cut.f1));
    set("balanced-accuracy", percent(cut.balanced));
    for (const point of points)
        point.button.setAttribute("aria-pressed", point.cut === current);
    byId("defects").replaceChildren(...Object.entries(data.eval.per_defect).map(([name, defect]) => make("tr", null,
        make("th", {scope: "row"}, name), make("td", {class: "number"}, defect.images),
        make("td", {class: "number"}, figure(defect.auroc)),
        make("td", {class: "number"}, images.filter(image => image.defective && image.defect === name && !isAnomalous(image)).length))));
}

const charts = [];
function go(cut) {
    current = cut;
    fillVerdicts();
    charts.forEach(update => update());
    fillImages();
}

function begin() {
    fillFacts();
    fillFigures();
    fillPictured();
    makeTableHead();
    byId("kind").append(make("option", {value: "good"}, "good"),
        ...Object.keys(data.eval.per_defect).map(name => make("option", {value: "defect:" + name}, name)));
    for (const point of points) {
        point.button = make("button", {type: "button"}, point.name);
        point.button.addEventListener("click", () => go(point.cut));
        byId("points").append(point.button);
    }
    charts.push(makeHistogram(),
        makeCurve("roc", cuts.map(cut => [cut.alarms / good, cut.hits / defective]), "false alarms", "defects found",
            place => `ROC curve, area ${figure(data.eval.image.auroc)}; at this threshold ${percent(place[0])} false alarms, ` +
                `${percent(place[1])} of the defective images found`),
        makeCurve("recall-curve", cuts.map(cut => cut.above ? [cut.hits / defective, cut.hits / cut.above] : null), "recall",
            "precision", place => `Precision over recall, average precision ${figure(data.eval.image.ap)}` +
                (place ? `; at this threshold recall ${percent(place[0])}, precision ${percent(place[1])}` : "")));

    let waiting = false; /* a drag tells more places than can be drawn */
    slider.addEventListener("input", () => {
        if (!waiting)
            requestAnimationFrame(() => {
                waiting = false;
                go(cuts.length - 1 - slider.valueAsNumber);
            });
        waiting = true;
    });
    byId("filters").addEventListener("submit", event => event.preventDefault());
    const filter = event => {
        byId("gallery").classList.toggle("without-boxes", !byId("show-boxes").checked);
        byId("viewer").classList.toggle("without-boxes", !byId("show-boxes").checked);
        if (event.target.id !== "show-boxes") {
            shownCards = CARDS;
            shownRows = ROWS;
            fillImages();
        }
    };
    byId("filters").addEventListener("input", filter);
    byId("filters").addEventListener("change", filter); /* some tools that fill forms in tell no "input" */
    byId("more-cards").addEventListener("click", () => { shownCards += 4 * CARDS; fillImages(); });
    byId("more-rows").addEventListener("click", () => { shownRows += 10 * ROWS; fillTable(); });
    byId("download").addEventListener("click", download);
    byId("viewer-close").addEventListener("click", () => byId("viewer").close());
    byId("viewer-previous").addEventListener("click", () => step(-1));
    byId("viewer-next").addEventListener("click", () => step(1));
    byId("viewer").addEventListener("keydown", event => {
        if (event.key === "ArrowLeft" || event.key === "ArrowRight")
            step(event.key === "ArrowLeft" ? -1 : 1);
    });
    go(current);
}
begin();
})();
