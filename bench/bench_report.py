"""The table of bench/run, as Markdown: printed, and kept in docs/performance.md."""
import os
import statistics

from bench_rows import ROWS

BEGIN, END = "<!-- bench/run begin -->\n", "<!-- bench/run end -->\n"


def read_text(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def processor():
    """(name, caches) of the first processor."""
    names = [line.partition(":")[2].strip() for line in read_text("/proc/cpuinfo").splitlines()
             if line.startswith("model name")]
    folder, caches = "/sys/devices/system/cpu/cpu0/cache", []
    indices = sorted(name for name in os.listdir(folder) if name.startswith("index")) if os.path.isdir(folder) else []
    for index in indices:
        level, kind, size = (read_text(os.path.join(folder, index, part)) for part in ("level", "type", "size"))
        caches.append(f"L{level}{kind[:1].lower().replace('u', '')} {size}")
    return (names or ["unknown"])[0], ", ".join(caches)


def machine_facts():
    name, caches = processor()
    return {"cpu": name, "caches": caches, "processors": os.cpu_count(),
            "usable_processors": len(os.sched_getaffinity(0)), "system": " ".join(os.uname()[::2][:2])}


def machine_lines(result):
    machine, threads = result["machine"], result["machine"]["threads"]
    rates = [f"SGEMM {machine[f'sgemm_{n}']:.0f} GFLOP/s, reading {machine[f'read_{n}']:.1f} GB/s on "
             f"{n} thread{'s' if n > 1 else ''}" for n in sorted({1, threads})]
    if machine["exchange"]:
        rates.append("a cache line to another processor and back "
                     f"{min(machine['exchange']):.0f} to {max(machine['exchange']):.0f} ns")
    removed = f" ({' and '.join(machine['removed'])} was set and has been removed)" if machine["removed"] else ""
    return [f"{result['date']}, library {result['library']}, {result['rounds']} rounds, {threads} threads, "
            f"{result['views']} views, hidden {result['hidden']}. {machine['cpu']}, {machine['processors']} "
            f"processors, caches {machine['caches']}; {machine['blas']}, core {machine['corename']}{removed}; load "
            f"{machine['load_before']:.2f} before and {machine['load_after']:.2f} after; " + "; ".join(rates) + "."]


def duration(seconds):
    for unit, factor in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def side_text(side):
    if "rates" in side:
        return f"{side['name']} {statistics.median(side['rates']):.0f} GFLOP/s"
    return f"{side['name']} {duration(statistics.median(side['seconds']))}"


def goal_text(name):
    goal = ROWS[name][2]
    return f"{goal[0]:g}, {goal[1]:g}" if goal else ""


def table_row(name, row):
    title = ROWS[name][0]
    for word in ("absent", "failed"):
        if word in row:
            return f"| {title} | {word}: {row[word]} | | | {goal_text(name)} |"
    ours, other = side_text(row["a"]), side_text(row["b"]) if "b" in row else ""
    if "ratio" in row:
        ratio = row["ratio"]
        figure = f"**{ratio['median']:.2f}** ({ratio['min']:.2f} .. {ratio['max']:.2f})"
    else:
        seconds = row["a"]["seconds"]
        figure = f"**{row['milliseconds']:.1f}** ({1e3 * min(seconds):.1f} .. {1e3 * max(seconds):.1f})"
    return f"| {title} | {ours} | {other} | {figure} | {goal_text(name)} |"


def peer_lines(result):
    """The engines that were there, each with its fastest way; then those that were not."""
    facts = {}
    for row in result["rows"].values():
        for record in row.get("peers", [row]):
            if "facts" in record.get("b", {}):
                facts.setdefault(record["b"]["name"], {}).update(record["b"]["facts"])
    times = {name: {} for name in facts}
    for task, name in (("score", "peer"), ("features", "features")):
        for record in result["rows"].get(name, {}).get("peers", []):
            times[record["b"]["name"]][task] = statistics.median(record["b"]["seconds"])
    lines = []
    for name, fact in facts.items():
        ways = "; ".join(f"{part}: {fact[part]}" for part in ("features", "flow", "step") if part in fact)
        cells = [duration(times[name][task]) if task in times[name] else "" for task in ("score", "features")]
        lines.append(f"| {name} {fact['version']} | {cells[0]} | {cells[1]} | {ways} |")
    for word in ("absent", "failed"):
        lines += [f"| {name} | {word}: {why} | | |" for name, why in result[word].items()]
    return lines


def conv_lines(result):
    layers = result["rows"].get("conv", {}).get("layers", [])
    sides = list(dict.fromkeys(layer["scale"] for layer in layers))
    lines = []
    for name in dict.fromkeys(layer["layer"] for layer in layers):
        cells = [f"{layer['ratio']['median']:.2f}" for layer in layers if layer["layer"] == name]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return sides, lines


def markdown(result):
    """The whole report."""
    lines = machine_lines(result)
    lines += ["", "| | library | other | ratio (min .. max) | must, aim |", "|---|---|---|---|---|"]
    lines += [table_row(name, row) for name, row in result["rows"].items()]
    peers = peer_lines(result)
    if peers:
        lines += ["", "| engine | score | features | its fastest ways |", "|---|---|---|---|"] + peers
    sides, layers = conv_lines(result)
    if layers:
        lines += ["", "| speed over im2row + SGEMM, one thread | " + " | ".join(f"{s} px" for s in sides) + " |",
                  "|---|" + "---|" * len(sides)] + layers
    return "\n".join(lines) + "\n"


def write_markdown(path, text):
    """The report as a file; where there is one with the two marks, it goes between them."""
    old = read_text(path) + "\n"
    if BEGIN in old and END in old:
        text = old[:old.index(BEGIN) + len(BEGIN)] + text + old[old.index(END):]
    with open(path + ".tmp", "w") as file:
        file.write(text)
    os.replace(path + ".tmp", path)
