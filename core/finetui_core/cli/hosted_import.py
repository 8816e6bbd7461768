"""`ftui hosted import JOB.json --data FILE`: a recipe for an open model from a finished job; no network."""

import argparse
from pathlib import Path

from finetui_core.cli.exchange_report import refuse_existing, tell_result, write_new
from finetui_core.cli.say import data_json, talk
from finetui_core.hosted.job_recipe import job_recipe, read_job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "job", type=Path, metavar="JOB.json", help="the job as the API gives it; never changed"
    )
    parser.add_argument("--data", required=True, metavar="FILE", help="the file that the job was trained on")
    parser.add_argument("--val", metavar="FILE", help="its validation file")
    parser.add_argument(
        "--model", metavar="OPEN_MODEL", help="the open model to train: a hub id, or a folder"
    )
    parser.add_argument(
        "-o", "--out", type=Path, metavar="NEW", help="the new recipe; without it, it goes to stdout"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the recipe and the notes as JSON on stdout"
    )


def run(options: argparse.Namespace) -> int:
    refuse_existing(options.out)
    folder = options.out.absolute().parent if options.out else Path.cwd()
    train, val = (str(Path(file).absolute()) if file else None for file in (options.data, options.val))
    made = job_recipe(read_job(options.job), train or "", val, options.model, folder)
    if options.out:
        write_new(options.out, made.text)
    if options.json:
        result = str(options.out) if options.out else None
        data_json({"schema": 1, "result": result, "recipe": made.text, "notes": list(made.notes)})
        return 0
    for note in made.notes:
        talk(note)
    tell_result(options.out, made.text)
    return 0
