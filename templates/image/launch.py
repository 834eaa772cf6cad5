"""What Google's launcher runs inside the image: flags in, a job object out."""

import logging
import sys

from beam_pipeline.main import launch

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    sys.exit(launch(sys.argv[1:]))
