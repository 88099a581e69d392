"""The results of `bench_gpu.py` as text and Markdown; figures say what they are relative to."""

from collections.abc import Callable, Sequence

_NAMES = {
    "cupy": "svmcifar cupy",
    "cuml": "svmcifar cuml",
    "cuml-own": "cuML multiclass",
    "numba": "svmcifar numba (CPU)",
}

_FIT_HEADER = (
    "samples", "labels", "solver", "fit s", "x cupy", "first fit s", "set-up s", "peak GB",
    "images/s", "x cupy", "accuracy", "differ",
)  # fmt: skip
_STAGE_HEADER = ("samples", "labels", "stage", "seconds", "measured against", "fraction")

NOTES = (
    "fit, images/s: from features on the GPU (in the computer's memory for numba); fit: median of "
    "the fits after the first; images/s: test images by the time of one predict.",
    "x cupy: time over that of svmcifar cupy at the same samples and labels.",
    "set-up: a first fit of about 600 samples and a predict, which compile CUDA kernels that no "
    "measurement above them has compiled; with the first fit, what a new installation takes once.",
    "peak GB: GPU memory in use while fitting, beyond what was in use before (sampled, driver).",
    "differ: test images predicted unlike svmcifar cupy; behind it, those of them where no "
    "decision value near 0 explains it.",
    "fraction: achieved rate by that of the hardware, measured in the same process: a float32 "
    "matrix product without TF32, and a copy within the GPU (bytes read and written).",
)


def _text(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    rows = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def fit_rows(results: Sequence[dict]) -> list[list[str]]:
    """Lay fits and predictions out, each with its ratio to the backend 'cupy'."""
    base = {(r["n"], r["labels"]): r for r in results if r["solver"] == "cupy" and "fit_s" in r}
    rows = [list(_FIT_HEADER)]
    for r in results:
        head = [f"{r['n']:,}", r["labels"], _NAMES[r["solver"]]]
        if "fit_s" not in r:
            rows.append([*head, r["missing"], *[""] * (len(_FIT_HEADER) - 4)])
            continue
        ours = base.get((r["n"], r["labels"]))
        rows.append(
            [
                *head,
                f"{r['fit_s']:.3g}",
                f"{r['fit_s'] / ours['fit_s']:.3g}" if ours else "",
                f"{r['first_fit_s']:.3g}",
                f"{r['warm_up_s']:.3g}",
                f"{r['fit_peak_bytes'] / 1e9:.2f}",
                f"{r['n_test'] / r['predict_s']:.0f}",
                f"{r['predict_s'] / ours['predict_s']:.3g}" if ours else "",
                f"{r['accuracy']:.2%}",
                _differ(r.get("parity")),
            ]
        )
    return rows


def _differ(parity: dict | None) -> str:
    if parity is None:
        return ""
    text = str(parity["predictions_that_differ"])
    if "of_these_differ" in parity:
        text += f" ({parity['of_these_differ']})"
    return text


def stage_rows(results: Sequence[dict]) -> list[list[str]]:
    """Lay the stages of our fits out, each against the limit of the hardware that bounds it."""
    rows = [list(_STAGE_HEADER)]
    for r in results:
        if "stages" not in r:
            continue
        s, f, limits = r["stages"], r["features"], r["limits"]
        product = f"product of {limits['gemm_size']:,}^3, {limits['gemm_flops'] / 1e12:.3g} TFLOP/s"
        copy = f"copy, {limits['copy_bytes_per_s'] / 1e9:,.4g} GB/s"
        upload = f"{f['upload_bytes'] / f['upload_s'] / 1e9:.1f} GB/s reached"
        lines = [
            ("upload of raw images", f["upload_s"], upload, None),
            ("features: fit", f["fit_features_s"], "", None),
            ("features: compute", f["compute_features_s"], "", None),
            ("kernel: products", s["products_s"], product, s["products_of_gemm_limit"]),
            ("kernel: values", s["kernel_values_s"], copy, s["kernel_values_of_copy_limit"]),
            (f"SMO, {s['smo_steps']:,} steps", s["smo_s"], f"{copy}; all reads and writes",
             s["smo_requested_of_copy_limit"]),
            ("", s["smo_s"], f"{copy}; 2 kernel rows a step", s["smo_distinct_of_copy_limit"]),
            ("tables up, coefficients down", s["download_s"], "", None),
            ("rest of fit", s["other_s"], "", None),
            ("fit, with its stages timed", s["watched_fit_s"],
             f"floor of products and rows, {s['fit_floor_s']:.3g} s",
             s["fit_floor_s"] / s["watched_fit_s"]),
            ("predict", r["predict_s"], f"its products at that rate, {r['predict_floor_s']:.3g} s",
             r["predict_floor_s"] / r["predict_s"]),
        ]  # fmt: skip
        for name, seconds, against, fraction in lines:
            rows.append(
                [
                    f"{r['n']:,}",
                    r["labels"],
                    name,
                    f"{seconds:.3g}",
                    against,
                    "" if fraction is None else f"{fraction:.1%}",
                ]
            )
    return rows


def fit_lines(results: Sequence[dict]) -> list[str]:
    """Describe what else was seen of our own fits: memory against the plan, and a larger C."""
    lines = []
    for r in results:
        head = f"{r['n']:,} samples, {r['labels']}"
        if "fit_planned_bytes" in r:
            peak, planned = r["fit_peak_bytes"] / 1e9, r["fit_planned_bytes"] / 1e9
            lines.append(f"{head}: memory at its peak {peak:.2f} GB, planned {planned:.2f} GB")
        if "large_C" in r:
            large = r["large_C"]
            lines.append(
                f"{head}: at C = {large['C']:g} fit {large['fit_s']:.3g} s, "
                f"{large['steps']:,} steps, gaps within {large['largest_gap']:.1e}"
            )
    return lines


def parity_lines(results: Sequence[dict]) -> list[str]:
    """Describe how far solvers are from the backend 'cupy', and a limited fit from a whole one."""
    lines = []
    for r in results:
        head = f"{r['n']:,} samples, {r['labels']}"
        parities = [(f"{_NAMES[r['solver']]} against cupy", r.get("parity"))]
        if "limited" in r:
            limited = r["limited"]
            name = f"memory limit {limited['memory_limit']} (tiles: {len(limited['tiles'])}, "
            parities.append((f"{name}{limited['fit_s']:.3g} s) against none", limited["parity"]))
        for name, p in parities:
            if p is None or "objective_off_by" not in p:
                continue
            lines.append(
                f"{head}: {name}: objectives within {p['objective_off_by']:.1e} relative, decision "
                f"values within {p['decision_values_off_by']:.1e}, "
                f"{p['predictions_that_differ']:,} of {r['n_test']:,} predictions differ, "
                f"{p['of_these_differ']:,} of the {p['predictions_that_stay']:,} "
                f"that stay when decision values move by {p['decision_band']:g}"
            )
    return lines


def report_text(report: dict) -> str:
    """Write the whole report as plain text."""
    return _whole(report, _text, "")


def report_markdown(report: dict) -> str:
    """Write the whole report as Markdown."""
    return _whole(report, _markdown, "- ")


def _whole(report: dict, table: Callable[[Sequence[Sequence[str]]], str], bullet: str) -> str:
    parameters = ", ".join(f"{name} = {value}" for name, value in report["parameters"].items())
    gpu = report["gpu"]
    head = (
        f"{report['made'][:10]}, {gpu['summary']}, driver {gpu['driver']}; "
        f"{report['host']['processor']}, {report['processors']} processors. {report['data']}. "
        f"{parameters}. Commit {(report['git_commit'] or 'unknown')[:12]}."
    )
    results = report["results"]
    parts = [head, table(fit_rows(results)), table(stage_rows(results))]
    for lines in (fit_lines(results), parity_lines(results), report["notes"], NOTES):
        if lines:
            parts.append("\n".join(f"{bullet}{line}" for line in lines))
    return "\n\n".join(parts) + "\n"
