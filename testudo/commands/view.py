"""`testudo view`: a local page with outcomes as pictures, texts and scores; Ctrl-C ends it."""

import argparse
import os
import sys
import webbrowser
from pathlib import Path

import duckdb
from google.auth.exceptions import GoogleAuthError
from google.cloud.bigquery import Client

from beam_pipeline.results import results_problem
from models.features import ImageLimits
from testudo.commands.engines import BigQueryEngine, FilesEngine
from testudo.commands.environments import add_environment_arguments, environment_of
from testudo.environment import LOCAL, Environment
from testudo.errors import CommandError, Failed
from testudo.view.contents import BucketImages, Contents, refuse_images
from testudo.view.payloads import Payloads
from testudo.view.pictures import Pictures
from testudo.view.questions import Questions
from testudo.view.server import View, serve
from testudo.view.site import Site, Source

EXAMPLE = "testudo view"
MAX_PORT = 65_535
LOCAL_REFRESH_S = 5
CLOUD_REFRESH_S = 30  # each time asks BigQuery, which bills what it reads


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_environment_arguments(parser, default=LOCAL.name)
    parser.add_argument("--output", metavar="FOLDER", help="show a files-mode run instead")
    parser.add_argument("--port", type=int, default=0, help="of the page (0: any that is free)")
    parser.add_argument("--no_browser", action="store_true", help="only print the address")


def main(arguments: argparse.Namespace) -> int:
    """Serves until Ctrl-C, which is how it ends well."""
    if not 0 <= arguments.port <= MAX_PORT:
        raise CommandError(f"--port: is {arguments.port}, must be 0 to {MAX_PORT}")
    if arguments.output and arguments.environment != LOCAL.name:
        raise CommandError("name an environment or --output, not both")
    view, contents = _view_of_files(arguments.output) if arguments.output else _view_of(arguments)
    try:
        server = serve(view, arguments.port)
    except OSError as error:
        raise Failed(f"--port: {arguments.port} cannot be used: {error.strerror}") from error
    try:
        print(f"{view.address}\nCtrl-C ends it.", flush=True)
        if not arguments.no_browser and _has_screen():
            webbrowser.open(view.address)
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
        contents.close()
    return 0


def _view_of_files(output: str) -> tuple[View, Contents]:
    """Raises CommandError where there is no run."""
    if problem := results_problem(output):
        raise CommandError(f"--output: {problem}")
    try:
        questions = Questions(FilesEngine(Path(output)))
    except duckdb.Error as error:
        raise CommandError(f"--output: {error}") from error
    contents = Contents(Payloads(output), Pictures(ImageLimits()), refuse_images)
    return View(Site(Source(f"files in {output}", "all", 0), questions, contents)), contents


def _view_of(arguments: argparse.Namespace) -> tuple[View, Contents]:
    """Raises CommandError for an environment that is wrong, or that nobody may ask."""
    environment = environment_of(arguments)
    try:
        client = Client(project=environment.project)
    except GoogleAuthError as error:
        raise CommandError(f"BigQuery cannot be asked: {error}") from error
    limits = limits_of(environment)
    images = BucketImages(environment.image_buckets, limits.max_bytes)
    contents = Contents(
        Payloads(environment.pipeline_flags["output"]), Pictures(limits), images.fetch
    )
    local = environment == LOCAL
    place = "local stack" if local else f"{environment.name} ({environment.project})"
    source = Source(place, "1d", LOCAL_REFRESH_S if local else CLOUD_REFRESH_S)
    questions = Questions(BigQueryEngine(client, environment.dataset))
    return View(Site(source, questions, contents)), contents


def limits_of(environment: Environment) -> ImageLimits:
    """Those of the environment's job."""
    flags = environment.flags
    return ImageLimits(
        int(flags.get("max_image_bytes", ImageLimits.max_bytes)),
        int(flags.get("max_image_pixels", ImageLimits.max_pixels)),
    )


def _has_screen() -> bool:
    """Elsewhere a browser of the terminal would be opened, over what it prints."""
    return sys.platform == "darwin" or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())
