"""The package `testudo`: an Apache Beam system that scores items of image and text."""

import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
# What people at a terminal need and workers do not: tables, local SQL, process facts.
CLI = ["rich>=14", "duckdb>=1.5,<1.6", "sqlglot>=27", "psutil>=7"]

setup(
    name="testudo",
    version=re.search(r"^## (\d+\.\d+\.\d+)", (HERE / "CHANGELOG.md").read_text(), re.MULTILINE)[1],
    description="Scores image-and-text items on a stream: one Apache Beam graph, from laptop to "
    "Dataflow",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    # One by one: `transforms` and `models` are common words, and tests must not ship.
    packages=[
        "beam_pipeline",
        "beam_pipeline.commands",
        "beam_pipeline.local",
        "loadtest",
        "models",
        "templates",
        "transforms",
    ],
    package_data={
        "beam_pipeline.local": ["*.txt"],
        "templates": ["bigquery/*.json", "bigquery/views/*.sql", "bigquery/queries/*.sql"],
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
        "jsonschema-rs>=0.30",
        # Between a worker and its models' processes: typed, and nothing is unpickled.
        "msgpack>=1.1",
        # Beam brings them too; these are used directly.
        "google-cloud-bigquery>=3.30",
        "numpy>=2",
        "orjson>=3.10",
        "pyarrow>=20",
    ],
    extras_require={
        "cli": CLI,
        "local": [*CLI, "gcp-storage-emulator>=2026.7", "uv>=0.9"],
        "loadtest": CLI,
        "dev": [
            "hypothesis>=6",
            "flatbuffers>=25",
            "mypy>=1.18",
            "pytest>=8",
            "pytest-xdist>=3.8",
            "ruff>=0.14",
            # Photographs that nobody here drew, for the tests.
            "scikit-image>=0.25",
            "types-grpcio",
            "types-protobuf",
            "types-psutil",
        ],
    },
    entry_points={"console_scripts": ["testudo = beam_pipeline.cli:main"]},
)
