"""The chart beside pictures of it that were looked at, and its colours for those who see fewer.

A picture that is new or wanted otherwise: TIDEMARK_PICTURES=update, then look at it."""
import base64
import os
import pathlib
import re

import pytest
from conftest import where

PICTURES = pathlib.Path(__file__).resolve().parent / "pictures"
COLORS = where.ROOT / "analysis" / "page" / "web" / "colors.js"

# The share of pixels that differ by more than a fifth: fonts are not the same everywhere.
DIFFER = """async ([one, other]) => {
    const pixels = async (png) => {
        const image = new Image();
        image.src = `data:image/png;base64,${png}`;
        await image.decode();
        const canvas = new OffscreenCanvas(image.width, image.height), pen = canvas.getContext("2d");
        pen.drawImage(image, 0, 0);
        return pen.getImageData(0, 0, image.width, image.height);
    };
    const a = await pixels(one), b = await pixels(other);
    if (a.width !== b.width || a.height !== b.height) return 1;
    let differ = 0;
    for (let i = 0; i < a.data.length; i += 4)
        if (Math.max(...[0, 1, 2].map((k) => Math.abs(a.data[i + k] - b.data[i + k]))) > 51) differ++;
    return differ / (a.data.length / 4);
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("what", ["whole", "step", "alive"])
def test_the_picture_is_the_one_that_was_looked_at(opened, recorded, what, theme):
    shown = opened(recorded("leak", fold=False), width=640, theme=theme)
    if what == "step":
        shown.tab.keyboard.press("p")
    shown.tab.wait_for_timeout(200)
    part = ".boxes" if what == "alive" else "canvas.chart"
    png = shown.tab.locator(part).screenshot()
    kept = PICTURES / f"{what}-{theme}.png"
    if os.environ.get("TIDEMARK_PICTURES") == "update":
        kept.write_bytes(png)
    differ = shown.tab.evaluate(DIFFER, [base64.b64encode(image).decode()
                                         for image in (png, kept.read_bytes())])
    assert differ < 0.03


def linear(color):
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
            for c in (int(color[i:i + 2], 16) / 255 for i in (1, 3, 5))]


def lab(rgb):
    """CIE L*a*b* of linear sRGB, D65."""
    x, y, z = (sum(k * c for k, c in zip(row, rgb)) / white for row, white in (
        ((0.4124, 0.3576, 0.1805), 0.9505), ((0.2126, 0.7152, 0.0722), 1.0),
        ((0.0193, 0.1192, 0.9505), 1.089)))
    f = [max(t, 0) ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z)]
    return 116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])


# What is seen by somebody without one kind of cone, from linear sRGB: Machado, Oliveira and
# Fernandes 2009, severity 1.
SEEN = {
    "all": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216),
                   (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413),
                     (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602),
                   (0.004733, 0.691367, 0.303900)),
}


@pytest.mark.parametrize("sight", SEEN)
def test_bands_that_lie_on_each_other_differ_in_colour_or_hatching(sight):
    text = COLORS.read_text()
    bands = re.findall(r'^\t"?([a-z ]+)"?: \{ color: "(#\w{6})", hatch: (null|"\w+") \}', text, re.M)
    assert len(bands) == 10
    for i, (name, color, hatch) in enumerate(bands):
        for other, other_color, other_hatch in bands[i + 1:]:
            seen = [lab([sum(k * c for k, c in zip(row, linear(one))) for row in SEEN[sight]])
                    for one in (color, other_color)]
            apart = sum((a - b) ** 2 for a, b in zip(*seen)) ** 0.5
            assert apart > 20 or hatch != other_hatch, (name, other, apart)
            assert apart > 5, (name, other, apart)
