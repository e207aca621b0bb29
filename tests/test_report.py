"""The page of `differnet eval --report` in a browser: Chromium without a window, driven by Selenium.

DIFFERNET and DEMO_PARTS name the executables.  77 (skipped) without Chromium, its driver or Selenium.  Who can use the
page is judged by the browser's own tree for assistive technology and by rules below; where axe-core is installed (pip:
axe-playwright-python), by that, too.
"""
import csv
import importlib.util
import json
import math
import os
import shutil
import sys
import tempfile
import time
import unittest

try:
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import Select
except ImportError:
    print("skipped: no Selenium (Debian: python3-selenium)")
    sys.exit(77)

import test_cli as cli
from test_cli import COMMAND, mask, part, path, run, write

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if not CHROMIUM or not DRIVER:
    print("skipped: no Chromium with its driver (Debian: chromium, chromium-driver)")
    sys.exit(77)

TITLE = "</title><script>window.broken = 1</script> \"lids\" & 'bolts'"
KIND = "<img src=x onerror='window.broken = 1'>"
NAME = "<!--<script> \"quoted\", 'so' & more.png"
NOTE = "<b>7</b>, \"left\""
browser = told = downloads = None


def setUpModule():
    global browser, told, downloads
    cli.setUpModule()
    shutil.copytree(path("set/test"), path("shown/test"))
    shutil.copytree(path("set/ground_truth"), path("shown/ground_truth"))
    shutil.copy(path("set/test/spot/0.png"), path("shown/test/good/odd.png"))  # a sure false alarm
    for name, number in ((NAME, 435), ("1.png", 417), ("2.png", 411)):  # misses: as usual as the good one of the model
        write(path("shown/test", KIND, name), part(number))
        write(path("shown/ground_truth", KIND, name[:-len(".png")] + "_mask.png"), mask())
    write(path("dark/test/good/dark.png"), cli.png(40, 40, lambda x, y: (3, 3, 3)))
    shutil.copy(path("dark/test/good/dark.png"), path("shown/test/good/dark.png"))
    noted = run("calibrate", path("model.dnm"), "--note", "place=" + NOTE, "-o", path("noted.dnm"), "--quiet")
    made = run("eval", path("noted.dnm"), path("shown"), "--map-views", "1", "--json", "--quiet", "--report",
               path("report.html"), "--title", TITLE)
    if noted.returncode != 0 or made.returncode != 0:
        raise AssertionError((noted, made))
    told = json.loads(made.stdout)

    downloads = tempfile.mkdtemp(dir=cli.ROOT)
    options = Options()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run",
                     *(["--no-sandbox"] if os.geteuid() == 0 else [])):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(service=Service(DRIVER), options=options)
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": downloads})


def tearDownModule():
    if browser:
        browser.quit()
    cli.tearDownModule()


# What no page may have, found without a library: [what is wrong, ...].
JUDGE = r"""
const wrong = [], visible = element => element.checkVisibility();
const name = element => element.getAttribute("aria-label") || element.labels?.[0]?.textContent.trim() ||
    document.getElementById(element.getAttribute("aria-labelledby"))?.textContent || element.textContent.trim();
for (const image of document.images)
    if (!image.alt) wrong.push("image without alternative text");
for (const element of document.querySelectorAll("input, select, button, [role=img], [role=region], section, dialog"))
    if (visible(element) && !name(element)) wrong.push("no name: " + element.outerHTML.slice(0, 80));
const ids = [...document.querySelectorAll("[id]")].map(element => element.id);
if (new Set(ids).size !== ids.length) wrong.push("ids that are not unique");
let level = 0;
for (const heading of [...document.querySelectorAll("h1, h2, h3, h4")].filter(visible)) {
    const next = Number(heading.tagName[1]);
    if (next > level + 1) wrong.push("heading skips a level: " + heading.textContent);
    level = next;
}
if (document.querySelectorAll("h1").length !== 1 || !document.documentElement.lang || !document.title)
    wrong.push("no single h1, language or title");
for (const table of document.querySelectorAll("table"))
    for (const head of table.querySelectorAll("th"))
        if (!head.scope) wrong.push("table head without scope: " + head.textContent);
const light = colour => {
    const [r, g, b] = colour.match(/[\d.]+/g).slice(0, 3).map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
for (const element of document.querySelectorAll("body *")) {
    if (!visible(element) || ![...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()) ||
        element.closest("script, noscript, option"))
        continue;
    let back = element;
    while (back && /rgba\(.*, 0\)/.test(getComputedStyle(back).backgroundColor)) back = back.parentElement;
    const style = getComputedStyle(element), colour = element.closest("svg") ? style.fill : style.color;
    const pair = [light(colour), light(getComputedStyle(back || document.body).backgroundColor)].sort((a, b) => b - a);
    if ((pair[0] + 0.05) / (pair[1] + 0.05) < 4.5)
        wrong.push("contrast " + ((pair[0] + 0.05) / (pair[1] + 0.05)).toFixed(2) + ": " + element.outerHTML.slice(0, 80));
}
return wrong;
"""


def axe_source():
    module = importlib.util.find_spec("axe_playwright_python")
    file = os.path.join(os.path.dirname(module.origin), "axe.min.js") if module else None
    return cli.read(file).decode() if file else None


# What assistive technology is told of elements with these roles must have a name.
NAMED = {"button", "checkbox", "combobox", "searchbox", "textbox", "slider", "image", "img", "region", "dialog", "article",
         "option", "RootWebArea", "heading", "columnheader", "rowheader", "group"}


class Report(unittest.TestCase):
    maxDiff = None

    def open(self, page="report.html", width=1280, scheme="light"):
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia",
                                {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        browser.get("file://" + path(page))

    def tearDown(self):
        self.assertEqual(browser.get_log("browser"), [], "told in the console")

    def by_id(self, name):
        return browser.find_element(By.ID, name)

    def number(self, name):
        return int(self.by_id(name).text)

    def counts(self):
        names = ("true-negatives", "false-positives", "false-negatives", "true-positives")
        return [int(text) for text in self.texts(*names)]

    def texts(self, *names):
        return browser.execute_script("return arguments[0].map(name => document.getElementById(name).innerText)", names)

    def images(self):
        return browser.execute_script("return JSON.parse(document.getElementById('data').textContent).images")

    def slide(self, place):
        browser.execute_async_script(
            "const slider = document.getElementById('slider'), done = arguments[1]; slider.value = arguments[0];"
            "slider.dispatchEvent(new Event('input', {bubbles: true}));"
            "requestAnimationFrame(() => requestAnimationFrame(done))", place)

    def shown_rows(self):
        return browser.execute_script("return [...document.querySelector('#table').tBodies[0].rows]"
                                      ".map(row => [...row.cells].map(cell => cell.innerText))")

    def expected(self, threshold):
        counts = [0, 0, 0, 0]
        for image in self.images():
            counts[2 * image["defective"] + (image["score"] > threshold)] += 1
        return counts

    def test_begins_at_the_threshold_in_force(self):
        self.open()
        verdicts = told["verdicts"]
        self.assertEqual(self.counts(), [told["good"] - verdicts["false_alarms"], verdicts["false_alarms"],
                                         verdicts["missed"], told["images"] - told["good"] - verdicts["missed"]])
        self.assertEqual(self.counts(), self.expected(verdicts["threshold"]))
        self.assertTrue(verdicts["false_alarms"] >= 1 and verdicts["missed"] >= 1, "no mistakes to look at")
        self.assertIn("index 0.500", self.by_id("threshold").text)
        for name in ("f1", "precision", "recall", "balanced-accuracy"):
            self.assertRegex(self.by_id(name).text, r"^[\d.]+( %)?$")
        self.assertEqual(json.loads(browser.execute_script(
            "return JSON.stringify(JSON.parse(document.getElementById('data').textContent).eval)")), told)

    def test_scores_are_the_commands(self):
        self.open()
        for image in self.images():
            said = json.loads(run("score", path("noted.dnm"), path("shown", image["path"]), "--json").stdout)
            self.assertEqual(image["score"], said["score"], image["path"])
            self.assertEqual(image["index"], said["index"], image["path"])

    def test_every_place_of_the_slider(self):
        self.open()
        images, places = self.images(), int(self.by_id("slider").get_attribute("max")) + 1
        self.assertEqual(places, len({image["score"] for image in images}) + 1)
        seen = []
        for place in range(places):
            self.slide(place)
            counts = self.counts()
            self.assertEqual(sum(counts), told["images"])
            text = self.by_id("threshold").text.split(",")[0]
            threshold = math.exp(float(text[2:])) if text.startswith("e^") else float(text)
            if not any(abs(image["score"] - threshold) < 0.01 * (threshold + 0.01) for image in images):
                self.assertEqual(counts, self.expected(threshold))
            good, bad, (_, alarms, missed, hits) = told["good"], told["images"] - told["good"], counts
            self.assertEqual(self.by_id("false-alarm-rate").text, "%.1f %%" % (100 * alarms / good))
            self.assertEqual(self.by_id("miss-rate").text, "%.1f %%" % (100 * missed / bad))
            self.assertEqual(self.by_id("f1").text, "%.4f" % (2 * hits / (hits + alarms + bad)))
            self.assertEqual(self.by_id("precision").text, "%.1f %%" % (100 * hits / (hits + alarms))
                             if hits + alarms else "–")
            seen.append((alarms, hits))
        self.assertEqual((seen[0], seen[-1]), ((told["good"], told["images"] - told["good"]), (0, 0)))
        self.assertEqual(len(set(seen)), places)
        best = max(2 * hits / (hits + alarms + told["images"] - told["good"]) for alarms, hits in seen)
        self.assertAlmostEqual(best, told["image"]["f1_max"], places=12)

    def test_keyboard(self):
        self.open()
        slider = self.by_id("slider")
        before = slider.get_attribute("aria-valuetext"), sum(self.counts()[1::2])
        slider.send_keys(Keys.ARROW_RIGHT)
        time.sleep(0.1)
        self.assertNotEqual(slider.get_attribute("aria-valuetext"), before[0])
        self.assertLess(sum(self.counts()[1::2]), before[1])
        name = browser.find_element(By.CSS_SELECTOR, "#gallery button")
        name.send_keys(Keys.ENTER)
        viewer = self.by_id("viewer")
        self.assertTrue(viewer.is_displayed())
        first = self.by_id("viewer-title").text
        self.assertEqual(len(viewer.find_elements(By.TAG_NAME, "img")), 3 if "spot" in first or KIND in first else 2)
        browser.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
        self.assertNotEqual(self.by_id("viewer-title").text, first)
        browser.switch_to.active_element.send_keys(Keys.ESCAPE)
        self.assertFalse(viewer.is_displayed())

    def test_gallery_begins_with_mistakes(self):
        self.open()
        mistakes = told["verdicts"]["false_alarms"] + told["verdicts"]["missed"]
        cards = browser.find_elements(By.CSS_SELECTOR, "#gallery .card")
        marked = ["mistake" in card.get_attribute("class") for card in cards]
        self.assertEqual(marked, [i < mistakes for i in range(len(cards))])
        for image in browser.find_elements(By.TAG_NAME, "img"):
            self.assertGreater(int(image.get_property("naturalWidth")), 0)
        boxes = {image["path"]: len(image["boxes"]) for image in self.images()}
        for card in cards:
            drawn = card.find_elements(By.CSS_SELECTOR, "rect")
            self.assertEqual(len(drawn), boxes[card.get_attribute("aria-label")])
        self.assertEqual(sum(count > 0 for name, count in boxes.items() if "/good/" in name),
                         told["boxes"]["good_with_boxes"])

    def test_filters_and_table(self):
        self.open()
        Select(self.by_id("mistake")).select_by_value("wrong")
        wrong = told["verdicts"]["false_alarms"] + told["verdicts"]["missed"]
        self.assertEqual(len(self.shown_rows()), wrong)
        self.assertTrue(all(row[3] for row in self.shown_rows()))
        Select(self.by_id("mistake")).select_by_value("")
        Select(self.by_id("kind")).select_by_value("defect:" + KIND)
        self.assertEqual({row[1] for row in self.shown_rows()}, {KIND})
        self.assertEqual(len(self.shown_rows()), told["per_defect"][KIND]["images"])
        Select(self.by_id("kind")).select_by_value("")
        Select(self.by_id("verdict")).select_by_visible_text("normal")
        self.assertEqual(len(self.shown_rows()), self.number("true-negatives") + self.number("false-negatives"))
        Select(self.by_id("verdict")).select_by_visible_text("all")
        head = browser.find_elements(By.CSS_SELECTOR, "#table th")
        head[5].find_element(By.TAG_NAME, "button").click()
        for order, up in (("descending", False), ("ascending", True)):
            column = [float(row[5]) for row in self.shown_rows()]
            self.assertEqual(column, sorted(column, reverse=not up))
            self.assertEqual([cell.get_attribute("aria-sort") for cell in head], [None] * 5 + [order] + [None] * 3)
            head[5].find_element(By.TAG_NAME, "button").click()

    def test_download(self):
        self.open()
        self.by_id("download").click()
        target = os.path.join(downloads, "images.csv")
        for _ in range(100):
            if os.path.exists(target):
                break
            time.sleep(0.1)
        with open(target, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        images = {image["path"]: image for image in self.images()}
        self.assertEqual(len(rows), told["images"])
        self.assertIn("test/%s/%s" % (KIND, NAME), images)
        for row in rows:
            image = images.pop(row["path"])
            self.assertEqual((float(row["score"]), row["defect"], row["defective"]),
                             (image["score"], image["defect"], str(int(image["defective"]))))
            self.assertEqual(row["anomalous"], str(int(image["score"] > told["verdicts"]["threshold"])))
            self.assertEqual(row["mistake"] != "", (row["anomalous"] == "1") != image["defective"])

    def test_texts_are_texts(self):
        self.open()
        self.assertEqual(browser.title, TITLE)
        self.assertEqual(self.by_id("title").text, TITLE)
        self.assertFalse(browser.execute_script("return 'broken' in window"))
        self.assertIn(NOTE, self.by_id("facts").text)
        self.assertIn("darker", self.by_id("warnings").text)
        self.assertIn(KIND, self.by_id("defects").text)
        sources = {image.get_attribute("src")[:11] for image in browser.find_elements(By.TAG_NAME, "img")}
        self.assertEqual(sources, {"data:image/"})
        self.assertEqual(browser.execute_script("return performance.getEntriesByType('resource')"
                                                ".filter(entry => !entry.name.startsWith('data:')).length"), 0)

    def test_everybody_can_use_it(self):
        axe = axe_source()
        for width in (375, 1280):
            for scheme in ("light", "dark"):
                self.open(width=width, scheme=scheme)
                self.judge(axe, (width, scheme))
                self.assertLessEqual(browser.execute_script("return document.documentElement.scrollWidth"), width)
                browser.find_element(By.CSS_SELECTOR, "#gallery button").send_keys(Keys.ENTER)
                self.judge(axe, (width, scheme, "viewer"))
        if not axe:
            print("no axe-core: judged by the browser's tree and the test's own rules")

    def judge(self, axe, where):
        self.assertEqual(browser.execute_script(JUDGE), [], where)
        roles = []
        for node in browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]:
            role, name = node.get("role", {}).get("value"), node.get("name", {}).get("value", "").strip()
            focusable = any(each["name"] == "focusable" and each["value"]["value"] for each in node.get("properties", []))
            if node["ignored"]:
                continue
            roles.append(role)
            self.assertTrue(name or role not in NAMED, (where, node))
            self.assertTrue(not focusable or role in NAMED, (where, "can be reached, but is nothing", node))
        self.assertIn("dialog" if "viewer" in where else "slider", roles)
        if axe:
            browser.execute_script(axe)
            found = browser.execute_async_script("axe.run().then(arguments[0])")["violations"]
            self.assertEqual([(each["id"], [node["html"] for node in each["nodes"]]) for each in found], [], where)

    def test_order_of_the_keyboard(self):
        for width in (375, 1280):
            with self.subTest(width):
                self.open(width=width)
                self.tab_through()

    def tab_through(self):
        # Everything that can be reached, as it stands on the page; each place has a mark, and nothing covers it.
        expected = browser.execute_script(
            "return [...document.querySelectorAll('button, select, input, [tabindex=\"0\"]')]"
            ".filter(element => element.checkVisibility() && !element.disabled)")
        for element in expected:
            for kind in ("rawKeyDown", "keyUp"):
                browser.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": kind, "key": "Tab", "windowsVirtualKeyCode": 9})
            same, mark, covered = browser.execute_script(
                "const element = document.activeElement, {x, y, width, height} = element.getClientRects()[0];"
                "const top = document.elementFromPoint(x + width / 2, y + height / 2);"
                "return [element === arguments[0], getComputedStyle(element).outlineStyle,"
                "element.contains(top) ? null : top ? top.outerHTML.slice(0, 200) : 'outside']", element)
            if (same, mark, covered) != (True, "solid", None):
                self.fail((same, mark, covered, element.get_attribute("outerHTML")[:100]))

    def test_print(self):
        self.open()
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        self.assertFalse(self.by_id("filters").is_displayed())
        self.assertTrue(self.by_id("gallery").is_displayed())
        self.assertEqual(browser.execute_script("return getComputedStyle(document.body).color"), "rgb(0, 0, 0)")
        self.assertGreater(len(browser.execute_cdp_cmd("Page.printToPDF", {})["data"]), 10000)
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})

    def test_pictures_of_some_images_only(self):
        shutil.copytree(path("shown/test/good"), path("uneven/test/good"))
        write(path("uneven/test/spot/0.png"), part(500))
        self.few("shown", 0, 0, 0)
        self.few("shown", 5, 2, 3)
        self.few("uneven", 4, 3, 1)  # what one kind does not need of its half is the other's
        self.open()
        self.assertFalse(self.by_id("pictured").is_displayed())
        self.assertEqual(run("eval", path("noted.dnm"), path("shown"), "--pictures", "-1").returncode, 2)

    def few(self, folder, pictures, good, bad):
        made = run("eval", path("noted.dnm"), path(folder), "--no-maps", "--quiet", "--report", path("few.html"),
                   "--pictures", str(pictures))
        self.assertEqual(made.returncode, 0, made)
        self.open("few.html")
        images = sorted(self.images(), key=lambda image: image["score"])
        expected = ([image["path"] for image in images if image["defective"]][:bad] +
                    [image["path"] for image in reversed(images) if not image["defective"]][:good])
        self.assertEqual(sorted(image["path"] for image in images if image["original"]), sorted(expected))
        self.assertTrue(self.by_id("pictured").is_displayed())
        self.assertIn("Pictures of %d of %d images: the %d good" % (good + bad, len(images), good), self.by_id("pictured").text)
        for card in browser.find_elements(By.CSS_SELECTOR, "#gallery .card"):
            pictured = card.get_attribute("aria-label") in expected
            self.assertEqual((len(card.find_elements(By.TAG_NAME, "img")), "no pictures" in card.text), (pictured, not pictured))
        self.assertEqual(len(self.shown_rows()), len(images))
        self.assertEqual(browser.execute_script(JUDGE), [])

    def test_without_maps_and_without_verdicts(self):
        made = run("eval", path("model.dnm"), path("shown"), "--no-maps", "--quiet", "--report", path("plain.html"))
        self.assertEqual(made.returncode, 0, made)
        self.open("plain.html")
        cards = browser.find_elements(By.CSS_SELECTOR, "#gallery .card")
        self.assertTrue(all(len(card.find_elements(By.TAG_NAME, "img")) == 1 for card in cards))
        trained = run("train", path("set"), "-o", path("silent.dnm"), "--backbone", path("backbone.safetensors"), "--quiet",
                      *cli.SMALL, "--holdout", "0")
        self.assertEqual(trained.returncode, 0, trained)
        made = run("eval", path("silent.dnm"), path("set"), "--no-maps", "--quiet", "--json", "--report", path("plain.html"))
        self.assertIsNone(json.loads(made.stdout)["verdicts"])
        self.open("plain.html")
        self.assertIn("no verdicts", self.by_id("warnings").text)
        self.assertEqual(self.by_id("f1").text, "1.0000")  # begins at the best F1
        self.assertEqual(browser.execute_script(JUDGE), [])


if __name__ == "__main__":
    unittest.main()
