"""An encoder as a Keras file: pixels (n, 64, 64, 3) from 0 to 255 to maps of 48 numbers.

    python docs/examples/keras_encoder.py mine.keras

Yours is one that was trained; this one's filters are chance, which knows colours and edges.
"""

import sys
from pathlib import Path

import keras
from keras import layers

SIZE_PX = 64


def encoder() -> keras.Model:
    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE_PX, SIZE_PX, 3))
    pixels = layers.Rescaling(1 / 127.5, offset=-1)(image)  # it scales its pixels itself
    for filters in (16, 32, 48):
        pixels = layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")(pixels)
    return keras.Model(image, pixels)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    encoder().save(path)
    print(f"{path}: {path.stat().st_size / 1e3:.0f} KB")
