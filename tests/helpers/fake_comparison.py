"""Made-up but realistic content of ``compare.json`` (tools/compare.py), of any size."""

import numpy as np

METHODS = (
    "softmax control",
    "softmax, class-aware",
    "Balanced Softmax",
    "logit adjustment",
    "LDAM",
    "Equalization Loss",
    "Equalization Loss v2",
    "Seesaw Loss",
    "sigmoid control",
    "Balanced Sigmoid",
    "cosine classifier",
    "tau-normalised",
    "DisAlign",
    "NorCal",
)
TASKS = ("bbox", "segm")
GROUPS = (("rare", 10), ("common", 100), ("frequent", np.inf))
METRICS = ("AP", "APr", "APc", "APf")
STAGE1_GAIN = -6.0


def comparison(methods=METHODS, num_classes=80, seeds=(1, 2, 3), seed=0):
    """A comparison in which method ``i`` helps rare classes more the larger ``i`` is."""
    rng = np.random.default_rng(seed)
    classes = _classes(num_classes)
    gains = np.linspace(0, 28, len(methods))
    rows = [
        _row(name, gain, classes, seeds, rng) for name, gain in zip(methods, gains, strict=True)
    ]
    for row in rows:
        if row["name"] != methods[0]:
            row["controls"] = [methods[0]]
            row["differences"] = [_difference(row, rows[0], task) for task in TASKS]
    run = _run(0, STAGE1_GAIN, classes, rng)
    return {
        "title": "openmoji_quick_val",
        "notes": ["`python tools/compare.py`, commit abc1234, x86_64 with 2 cores, seeds 1, 2, 3."],
        "seeds": list(seeds),
        "tasks": list(TASKS),
        "dev": "openmoji_quick_dev",
        "stage1": {"weights": "output/stage1/model_final.pth"}
        | {key: run[key] for key in ("results", "per_class")},
        "classes": classes,
        "stage1_weight_norms": _norms(classes, 0.22, rng),
        "rows": rows,
    }


def fail(row, message="FloatingPointError: loss is not finite"):
    """Makes a row one that never finished a run."""
    row.update(runs=[], differences=[], error=message)


def _classes(num_classes):
    counts = np.geomspace(2000, 1, num_classes).astype(int)
    return [
        {
            "name": f"class {k:04d}",
            "group": next(name for name, end in GROUPS if count <= end),
            "train_image_count": int(count),
            "train_instance_count": int(count * 2.3),
            "val_instances": 0 if k % 20 == 13 else 3 + k % 7,
        }
        for k, count in enumerate(counts)
    ]


def _row(name, gain, classes, seeds, rng):
    key = "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME"
    return {
        "name": name,
        "controls": [],
        "after": "",
        "settings": {key: name.title().replace(" ", "") + "Loss", "SOLVER.MAX_ITER": 1600},
        "selection": _selection(gain, two=gain > 10, rng=rng),
        "runs": [_run(seed, gain + rng.normal(0, 1), classes, rng) for seed in seeds],
        "differences": [],
        "error": None,
    }


def _run(seed, gain, classes, rng):
    per_class = {task: _class_ap(gain, classes, rng) for task in TASKS}
    return {
        "seed": seed,
        "train_seconds": 3.0 + seed / 10,
        "evaluate_seconds": 5.0,
        "results": {task: _metrics(values, classes) for task, values in per_class.items()},
        "per_class": per_class,
        "weight_norms": _norms(classes, max(0.02, 0.2 - gain / 150), rng),
    }


def _class_ap(gain, classes, rng):
    rarity = [max(0.0, 1 - np.log10(c["train_image_count"]) / 3.3) for c in classes]
    noisy = [58 - 62 * r**1.4 + gain * r - gain / 10 + rng.normal(0, 8) for r in rarity]
    return [
        float(np.clip(ap, 0, 95)) if c["val_instances"] else None
        for ap, c in zip(noisy, classes, strict=True)
    ]


def _metrics(values, classes):
    values = np.array(values, dtype=float)
    groups = np.array([c["group"] for c in classes])
    members = {f"AP{name[0]}": groups == name for name, _ in GROUPS}
    means = {key: np.nanmean(values[member]) for key, member in members.items() if member.any()}
    return dict.fromkeys(METRICS) | {"AP": float(np.nanmean(values))} | means


def _norms(classes, slope, rng):
    counts = np.array([c["train_image_count"] for c in classes], dtype=float)
    return (0.6 * counts**slope * np.exp(rng.normal(0, 0.06, len(counts)))).tolist()


def _selection(gain, two, rng):
    rates, taus = (0.05, 0.1, 0.2, 0.4, 0.8), (0.5, 1.0, 1.5) if two else (None,)
    trials = []
    for tau in taus:
        for i, rate in enumerate(rates):
            ap = 38 + gain / 4 - (i - 3) ** 2 - 2 * abs((tau or 1) - 1) + rng.normal(0, 0.2)
            settings = {"SOLVER.BASE_LR": rate} | ({"CLS_LOSS.LOSS.TAU": tau} if tau else {})
            trials.append({"settings": settings, "AP": ap, "APr": ap - 9, "APc": ap, "APf": ap})
    best = max(trials, key=lambda trial: trial["AP"])
    return {"trials": trials, "chosen": dict(best["settings"])}


def _difference(row, control, task):
    def mean(of, metric):
        return np.mean([run["results"][task][metric] for run in of["runs"]])

    means = {m: float(mean(row, m) - mean(control, m)) for m in METRICS}
    spread = {m: {"mean": v, "lo": v - 1.3, "hi": v + 1.2} for m, v in means.items()}
    return {"control": control["name"], "task": task} | spread
