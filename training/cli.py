"""`bunraku-train`: make data, train, evaluate, sample, export."""

from __future__ import annotations

from runtime.interrupt import leave_on_interrupt

if __name__ == "__main__":  # `python -m training.cli`: Ctrl-C is quiet during the imports below too
    leave_on_interrupt()

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runtime.terminal import run_command_line, say_json
from training.console import PlainConsole
from training.errors import CheckpointError, RecipeError
from training.stopping import Stopped

if TYPE_CHECKING:
    from training.data.dataset import Dataset, Split
    from training.task import Task

app = typer.Typer(
    help="Train neural characters.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
data_app = typer.Typer(help="Make a data set.", no_args_is_help=True)
app.add_typer(data_app, name="data")
console = PlainConsole()

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on the last line of stdout.")]
Out = Annotated[Path, typer.Option("--out", help="Where to write.")]
Checkpoint = Annotated[Path, typer.Argument(help="A run's folder, or one of its .pt files.")]
DataFolder = Annotated[Path | None, typer.Option("--data", help="The data set, if not at the recipe's path.")]
Performance = Annotated[
    Path | None,
    typer.Option("--performance", help="A recording of controls to judge precisions by [synthetic speech]."),
]
Set = Annotated[list[str] | None, typer.Option("--set", help="Override the recipe: section.key=value. Repeatable.")]


def main() -> None:
    """Run one command line and exit; a signal that stops training gives 128 plus its number."""
    run_command_line(_run)


def _run() -> None:
    try:
        app()
    except Stopped as stopped:
        console.print(f"ended by {stopped.signal.name}")
        sys.exit(stopped.exit_code)


@data_app.command("cast")
def data_cast(
    out: Out = Path("datasets/cast"),
    identities: Annotated[int, typer.Option(min=1, help="Invented characters.")] = 7000,
    frames: Annotated[int, typer.Option(min=1, help="Pictures of each.")] = 4,
    named_frames: Annotated[int, typer.Option(min=0, help="Pictures of each named character.")] = 300,
    size: Annotated[int, typer.Option(min=32, max=1024, help="Pixels per side.")] = 256,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    layers: Annotated[
        bool, typer.Option("--layers", help="Also write hair, body and head as layers, for the task `animator`.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1)] = 2,
    as_json: Json = False,
) -> None:
    """Draw a data set with the cast rig.

    Example: `bunraku-train data cast --out datasets/cast`
    """
    from training.cast import write_dataset

    out.parent.mkdir(parents=True, exist_ok=True)
    made = write_dataset(
        out,
        identities=identities,
        frames_per_identity=frames,
        named_frames=named_frames,
        size_px=size,
        seed=seed,
        layers=layers,
        workers=workers,
        progress=_counter("pictures drawn"),
    )
    console.print(f"{out}: {'written' if made else 'was there already, unchanged'}")
    _finish(as_json, {"data": str(out), "made": made})


@data_app.command("folder")
def data_folder(
    source: Annotated[Path, typer.Argument(help="Folder with pictures and a table of parameters.")],
    mapping: Annotated[Path, typer.Option("--mapping", help="TOML file that says what the columns mean.")],
    out: Out,
    opaque: Annotated[bool, typer.Option("--opaque", help="Accept pictures without alpha.")] = False,
    as_json: Json = False,
) -> None:
    """Convert frames with parameters into a data set.

    Example: `bunraku-train data folder frames/ --mapping mine.toml --out datasets/mine`
    """
    from training.data.folder import import_folder, read_mapping

    progress = _counter("pictures copied")
    mapped = read_mapping(mapping)
    manifest = import_folder(source, mapped, out, opaque=opaque, progress=progress, note=_note)
    console.print(f"{out}: {manifest.frames} pictures of {manifest.identities} identities, {manifest.size_px} px")
    told = {"frames": manifest.frames, "identities": manifest.identities, "notes": manifest.notes}
    _finish(as_json, {"data": str(out), **told})


@app.command()
def fit(
    recipe: Annotated[str, typer.Argument(help="A .toml file, or the name of a shipped recipe.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the run [runs/<name>].")] = None,
    overrides: Set = None,
    devices: Annotated[int, typer.Option(min=1, help="GPUs, or processes on a CPU.")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads [all].")] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes", min=0.1, help="Train for this long instead of the recipe's length; reading data is extra."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resolved recipe and stop.")] = False,
    as_json: Json = False,
) -> None:
    """Train. The same command resumes a stopped run.

    Example: `bunraku-train fit aki --set data.path=datasets/cast`
    """
    import msgspec

    from training.recipe import load_recipe

    resolved = load_recipe(recipe, tuple(overrides or ()))
    if dry_run:
        typer.echo(msgspec.json.format(msgspec.json.encode(resolved), indent=2))
        return
    import torch

    from training.loop import fit as run_fit

    if threads:
        torch.set_num_threads(threads)
    run = out or Path("runs") / resolved.name
    console.print(f"recipe {resolved.name}, data {resolved.data.path}, run {run}")
    final = run_fit(resolved, run, devices=devices, minutes=minutes, console=console)
    console.print(f"done: {final}")
    _finish(as_json, {"checkpoint": str(final)})


@app.command()
def evaluate(
    checkpoint: Checkpoint,
    data: DataFolder = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for report.json and sheets [<run>/evaluation].")
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="Another checkpoint on the same people, shown beside this one.")
    ] = None,
    against_data: Annotated[
        Path | None, typer.Option("--against-data", help="Its data set, if not at its recipe's path.")
    ] = None,
    people: Annotated[
        Path | None,
        typer.Option(
            "--people",
            help="Evaluate on the people of another data set, at its size; for the tasks `animator` and `portrait`.",
        ),
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option(
            "--encoder",
            help="A run of the task `encoder`: measures identity preservation, for the task `animator`.",
        ),
    ] = None,
    portrait: Annotated[
        Path | None,
        typer.Option(
            "--portrait",
            help="With --encoder, a run of the task `portrait`: from one picture of a person to that person moving.",
        ),
    ] = None,
    fit: Annotated[
        int,
        typer.Option(
            "--fit",
            min=0,
            help="With --portrait, also with latents that are fitted to that picture in so many steps, given its pose.",
        ),
    ] = 0,
    at: Annotated[
        int | None, typer.Option("--at", min=16, help="Side in pixels for comparing pictures.", show_default=False)
    ] = None,
    frames: Annotated[int, typer.Option(min=8, help="Pictures per question, at most.")] = 240,
    as_json: Json = False,
) -> None:
    """Measure quality on held-out pictures.

    Example: `bunraku-train evaluate runs/aki`
    """
    from training.runs import exporting, looking, open_run, write_report

    # Checked before anything is measured, which may take minutes.
    if fit and portrait is None:
        raise CheckpointError(
            "--fit needs --portrait, whose latents it fits. Name a run of that task, or leave it out."
        )
    if portrait is not None and encoder is None:
        raise CheckpointError("--portrait needs --encoder, which sees who a picture shows. Name a run of that task.")
    task = open_run(checkpoint, data=data, note=_note)
    if people is not None:
        looking(task).look_at(people, note=_note)
    folder = out or (checkpoint if checkpoint.is_dir() else checkpoint.parent) / "evaluation"
    report = task.evaluate(folder, frames=frames, at_px=at, note=_note)
    if encoder is not None:
        report |= _evaluate_chain(task, encoder, portrait, folder, frames, fit)
    if against is not None:
        other = open_run(against, data=against_data, note=_note)
        report["against"] = exporting(task).compare(other, folder / "against.png")
    write_report(report, folder / "report.json")
    _print_report(report)
    console.print(f"report and sheets: {folder}")
    _finish(as_json, report)


@app.command()
def sample(
    checkpoint: Checkpoint,
    out: Out,
    data: DataFolder = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    psi: Annotated[float, typer.Option("--truncation-psi", min=0.0, max=2.0)] = 1.0,
    as_json: Json = False,
) -> None:
    """Draw sheets: new identities, a sweep of every control, a walk between identities, a blink.

    Example: `bunraku-train sample runs/aki --out sheets`
    """
    from training.runs import exporting, open_run

    task = exporting(open_run(checkpoint, data=data, note=_note))
    files = task.gallery(out, seed=seed, truncation_psi=psi)
    for file in files:
        console.print(str(file))
    _finish(as_json, {"sheets": [str(file) for file in files]})


@app.command()
def export(
    checkpoint: Checkpoint,
    out: Out,
    data: DataFolder = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="report.json of `evaluate` [<run>/evaluation/report.json].")
    ] = None,
    refine: Annotated[
        bool, typer.Option("--refine/--no-refine", help="Fit named latents to their own pictures.")
    ] = True,
    reduced: Annotated[
        bool,
        typer.Option(
            "--reduced/--no-reduced", help="Judge bf16, and try fp16 and int8 generators; failing ones are omitted."
        ),
    ] = True,
    people: Annotated[
        Path | None,
        typer.Option(
            "--people",
            help="A data set of any size whose named people are used; for the task `animator` [the run's own data].",
            show_default=False,
        ),
    ] = None,
    portrait: Annotated[
        Path | None,
        typer.Option(
            "--portrait",
            help="A run of the task `portrait`: people from seeds, for the task `animator`.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="The character's name [the recipe's name].", show_default=False)
    ] = None,
    performance: Performance = None,
    as_json: Json = False,
) -> None:
    """Write a character file for the runtime.

    Example: `bunraku-train export runs/aki --out aki.bunraku`
    """
    from training.runs import exporting, open_run

    # Checked before the run is opened, which may take minutes.
    path = report or (checkpoint if checkpoint.is_dir() else checkpoint.parent) / "evaluation" / "report.json"
    if not path.is_file():
        raise RecipeError(f"There is no {path}. Run bunraku-train evaluate first, or name a report with --report.")
    figures = _read_report(path)
    task = exporting(open_run(checkpoint, data=data, note=_note))
    name = name or task.recipe.name.capitalize()
    manifest = task.export(
        out,
        name=name,
        report=figures,
        refine=refine,
        half=reduced,
        people=people,
        portrait=portrait,
        note=_note,
    )
    shown = task.dataset if task.dataset.size_px == manifest.frame.width else None
    precisions = _add_precisions(out, out, shown, performance, task.split) if reduced else []
    size = out.stat().st_size
    console.print(f"{out}: {size / 2**20:.1f} MiB, {len(manifest.identities)} identities, {manifest.frame.width} px")
    told = {"character": str(out), "bytes": size, "identities": list(manifest.identities), "precisions": precisions}
    _finish(as_json, told)


@app.command()
def quantise(
    character: Annotated[str, typer.Argument(help="A character file, or the name of a shipped one.")],
    out: Out,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="What it was trained on; without it, only poses of the runtime."),
    ] = None,
    performance: Performance = None,
    as_json: Json = False,
) -> None:
    """Add an int8 generator to a character file, if its pictures pass the gate, and judge the other precisions.

    Example: `bunraku-train quantise aki.bunraku --data datasets/cast --out aki.int8.bunraku`
    """
    from runtime.character.file import Character
    from runtime.character.shipped import find_character
    from training.data.dataset import open_dataset

    source = find_character(character)
    with Character.open(source) as opened:
        side = opened.manifest.frame.width
    dataset = None if data is None else open_dataset(data, side, note=_note)
    precisions = _add_precisions(source, out, dataset, performance)
    _finish(as_json, {"character": str(out), "precisions": precisions})


@app.command()
def alpha(
    character: Annotated[str, typer.Argument(help="A character file, or the name of a shipped one.")],
    out: Out,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="What it was trained on; without it, only poses of the runtime."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="report.json with quality figures of the new pictures.")
    ] = None,
    performance: Performance = None,
    as_json: Json = False,
) -> None:
    """Clear the background and fill the figure of a character that was exported with a haze.

    Newer files include this step. Nothing is trained, and drawing takes no longer.

    Example: `bunraku-train alpha old.bunraku --out new.bunraku`
    """
    from runtime.character.file import Character
    from runtime.character.shipped import find_character
    from training.data.dataset import open_dataset
    from training.decoder.alpha_step import add_alpha_step

    source = find_character(character)
    figures = None if report is None else _read_report(report)
    add_alpha_step(source, out, figures=figures)
    with Character.open(out) as opened:
        side = opened.manifest.frame.width
    precisions = _add_precisions(out, out, None if data is None else open_dataset(data, side, note=_note), performance)
    _finish(as_json, {"character": str(out), "precisions": precisions})


def _read_report(path: Path) -> dict[str, Any]:
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path} cannot be read: {error}. Run bunraku-train evaluate again.") from error
    return report


def _add_precisions(
    source: Path, out: Path, dataset: Dataset | None, performance: Path | None, split: Split | None = None
) -> list[dict[str, Any]]:
    """Run the precision gate and report its results; the worst picture goes beside the file."""
    import msgspec
    from rich.table import Table

    from runtime.drivers.recording import read_recording
    from training.precision import gate
    from training.precision.reduced import add_precisions

    recording = None if performance is None else read_recording(performance)
    for warning in recording.warnings if recording else ():
        _note(warning)
    worst = out.with_suffix(".int8.png")
    reports = add_precisions(source, out, dataset=dataset, recording=recording, split=split, note=_note, worst=worst)
    judged = [figures for report in reports for figures in report.figures]
    table = Table("against fp32", *(figures.engine for figures in judged), "must be", box=None)
    for limit in gate.LIMITS:
        found = (getattr(figures, limit.figure) for figures in judged)
        sign = ">=" if limit.least else "<="
        table.add_row(
            limit.figure, *("" if f is None else f"{f:g}" for f in found), f"{sign} {limit.value:g} {limit.unit}"
        )
    if judged:
        console.print(table, soft_wrap=False)
    for report in reports:
        console.print(report.sentence())
        if report.kept_float:
            console.print(f"layers in fp32: {', '.join(report.kept_float)}")
    if any(report.precision == "int8" for report in reports):
        console.print(f"worst picture of int8: {worst}")
    told: list[dict[str, Any]] = msgspec.to_builtins(reports)
    return told


def _note(text: str) -> None:
    console.print(text)


def _counter(what: str) -> Callable[[int, int], None]:
    """Progress as one line, overwritten in place on a terminal, otherwise a line every tenth."""
    last = -1

    def show(done: int, total: int) -> None:
        nonlocal last
        tenth = done * 10 // max(total, 1)
        if console.is_terminal:
            console.print(f"{what}: {done}/{total}", end="\r" if done < total else "\n")
        elif tenth != last:
            console.print(f"{what}: {done}/{total}")
        last = tenth

    return show


def _evaluate_chain(
    task: Task, encoder: Path, portrait: Path | None, folder: Path, frames: int, fit: int
) -> dict[str, Any]:
    """Open the other runs, and evaluate all of them together."""
    from training.animator.chain import evaluate_chain
    from training.animator.task import AnimatorTask
    from training.encoder.task import EncoderTask
    from training.portrait.task import PortraitTask
    from training.runs import open_run

    seeing, drawing = open_run(encoder, note=_note), None if portrait is None else open_run(portrait, note=_note)
    if not (
        isinstance(task, AnimatorTask)
        and isinstance(seeing, EncoderTask)
        and (drawing is None or isinstance(drawing, PortraitTask))
    ):
        raise CheckpointError(
            "--encoder and --portrait go with a run of the task animator, and name runs of the tasks encoder and "
            "portrait."
        )
    return evaluate_chain(task, seeing, drawing, folder, frames=frames, fit=fit, note=_note)


def _print_report(report: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table("identities", "", "PSNR dB", "worst 1 %", "SSIM", "edge", "detail", "eyes", "mouth", box=None)
    keys = ("psnr_median_db", "psnr_p1_db", "ssim_mean", "alpha_edge_error", "detail_ratio", "eye_error", "mouth_error")
    asked = {question: row for question, row in report.items() if isinstance(row, dict) and "ours" in row}
    for question, row in asked.items():
        for who, found in row.items():
            if isinstance(found, dict) and keys[0] in found:
                cells = (f"{found[key]:.{2 if key.endswith('_db') else 3}f}" if key in found else "" for key in keys)
                table.add_row(question.split("_")[0], who.replace("_", " "), *cells)
    if asked:
        console.print(table, soft_wrap=False)
    for question, row in report.items():
        if isinstance(row, dict) and "of_people" in row:
            console.print(
                f"{question.replace('_', ' ')}: {row['right']} of {row['pictures']} pictures are nearest to who they "
                f"show, of {row['of_people']} people"
            )
    if "alpha_limits" in report:
        limits = report["alpha_limits"]
        for question in ("seen_identities", "unseen_identities"):
            if question in asked:
                ours = asked[question]["ours"]
                console.print(
                    f"{question.split('_')[0]}: {ours['haze_outside']:.2%} of the pixels outside are hazy, "
                    f"{ours['veil_inside']:.2%} inside a little clear (must be below {limits['haze_outside']:.1%})",
                )
    if any("nearest_training_frame" in row for row in asked.values()):
        console.print('"nearest": instead of a network, chosen with knowledge of the answer')
    for question, row in asked.items():
        if row.get("by_head_yaw"):
            bands = ", ".join(f"{band} degrees {decibel:.2f}" for band, decibel in row["by_head_yaw"].items())
            console.print(f"{question.split('_')[0]}, dB by head yaw: {bands}")
    for question, row in report.get("obedience", {}).items():
        console.print(f"{question.replace('_', ' ')}: {row['right']} of {row['frames']} frames")
    drift = report.get("identity_drift", {})
    if "ratio" in drift:
        console.print(f"identity drift under a control sweep: {drift['ratio']:.2f} of the distance between identities")
    if "from_moving" in drift:
        console.print(
            f"farther from another picture of theirs than real pictures in the same poses: {drift['from_moving']:+.3f}"
        )


def _finish(as_json: bool, result: dict[str, Any]) -> None:
    if as_json:
        say_json(result)


if __name__ == "__main__":
    main()
