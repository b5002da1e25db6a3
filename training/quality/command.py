"""`python -m training quality`: the written-up results of a set, made again by one command."""

from __future__ import annotations

import json
from pathlib import Path

import click

from training.failures import DATA, FAILURE, fail

ROOT = Path(__file__).resolve().parents[2]
OUT, TASKS = ROOT / "docs" / "results", ROOT / "docs" / "tasks.md"


@click.command()
@click.option("--model-set", "name", required=True, metavar="NAME", help="latest, champion, an id, or a set's folder.")
@click.option(
    "--data",
    required=True,
    metavar="FILE[,FILE15m]",
    help="Klines that hold the set's test slice; 15m ones after a comma.",
)
@click.option("--funding", type=click.Path(path_type=Path), help="Funding history (parquet), if the set reads it.")
@click.option(
    "--companion", type=click.Path(path_type=Path), help="Klines of the companion symbol, if the set reads them."
)
@click.option(
    "--ablation",
    "ablations",
    multiple=True,
    type=click.Path(path_type=Path),
    help="What `ablate` wrote; may be repeated.",
)
@click.option("--out", default=OUT, type=click.Path(path_type=Path), help="Where page and plots go  [docs/results]")
@click.option(
    "--tasks",
    default=None,
    type=click.Path(path_type=Path),
    help="Page whose table is filled  [docs/tasks.md, beside docs/results]",
)
@click.option("--draws", default=500, type=click.IntRange(20, 20_000), show_default=True, help="Bootstrap samples.")
@click.option("--seed", default=0, show_default=True, help="Of the bootstrap.")
@click.option("--root", type=click.Path(path_type=Path), help="Folder with the stores sets and starter.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
def quality(
    name: str, data: str, funding: Path | None, companion: Path | None, ablations: tuple[Path, ...], out: Path,
    tasks: Path | None, draws: int, seed: int, root: Path | None, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Write up what a set is worth: model-quality.md, its plots, and the table of tasks.md.

    The set is judged on its own test slice, which the history must hold. The same set, files and options give the same
    bytes.

    Exit codes: 0 written, 1 failed, 2 usage, 7 model set or data missing, broken or too short, 130 interrupted.
    """
    try:
        from training.quality import plots
    except ModuleNotFoundError as error:
        fail(
            f"{error.name} is not installed, and the plots need it; `make setup` installs what training needs", FAILURE
        )
    # pandas and the models take a second to import, which `--help` need not wait for.
    from market.history import HistoryError
    from market.progress import Steps
    from models import options
    from models.evaluation.data import DataError
    from models.modelset import ROOT as STORES
    from models.modelset import ModelSetError
    from training.quality import ablation, page
    from training.quality import tasks as tables
    from training.quality.aims import aims
    from training.quality.figures import Asked, gather
    from training.quality.listed import listed

    steps = Steps(quiet=quiet)
    try:
        asked = Asked(data, funding, companion, tuple(ablation.read(file) for file in ablations), draws, seed)
        model_set = options.load(name, root or STORES)
        with steps.running(8):
            figures = gather(model_set, asked, steps)
        drawn = plots.draw(figures)
        tasks = tasks or (TASKS if out.resolve() == OUT else out / TASKS.name)
        table = tables.filled(tasks, figures)
        out.mkdir(parents=True, exist_ok=True)
        for key in page.PLOTS:
            file = out / f"model-quality-{key}.svg"
            if key in drawn:
                file.write_text(drawn[key], encoding="utf-8")
            else:
                file.unlink(missing_ok=True)  # of another set: the page no longer shows it
        written = page.write(figures, page.regenerate(model_set.id, figures, ablations), tuple(drawn))
        (out / page.PAGE).write_text(written, encoding="utf-8")
        tasks.write_text(table, encoding="utf-8")
    except (ModelSetError, HistoryError, DataError, ablation.AblationError) as error:
        fail(str(error), DATA)
    except (OSError, tables.TasksError) as error:
        fail(str(error), FAILURE)
    told = {
        "model_set": model_set.id,
        "page": str(out / page.PAGE),
        "tasks": str(tasks),
        "plots": [str(out / f"model-quality-{key}.svg") for key in drawn],
        "aims": [
            {"asks": a.asks, "measured": a.measured, "verdict": a.verdict, "why": a.reason} for a in aims(figures)
        ],
        "listed": [
            {"number": number, "measured": a.measured, "verdict": a.verdict, "why": a.reason}
            for number, a in listed(figures).items()
        ],
    }
    if as_json:
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    for aim in aims(figures):
        click.echo(f"{aim.verdict:>13}  {aim.asks}: {aim.measured or aim.reason}")
    click.echo(f"written: {out / page.PAGE}, {len(drawn)} plots, {tasks}")
