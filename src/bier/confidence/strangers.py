"""Pictures that are no catalogue's: blank, noise, text and drawings, made by code and alike for a seed."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFont

Maker = Callable[[int, Generator], Image.Image]
Colour = tuple[int, int, int]


def blank(size: int, random: Generator) -> Image.Image:
    """One colour, often white, black or grey, or a slow change from one to another."""
    first, second = _colour(random, pale=0.5), _colour(random, pale=0.5)
    if random.random() < 0.5:
        return Image.new("RGB", (size, size), first)
    share = np.linspace(0, 1, size)[:, None, None]
    ramp = np.array(first) * (1 - share) + np.array(second) * share
    image = Image.fromarray(np.broadcast_to(ramp, (size, size, 3)).astype(np.uint8))
    return image if random.random() < 0.5 else image.transpose(Image.Transpose.ROTATE_90)


def noise(size: int, random: Generator) -> Image.Image:
    """Random dots, from fine to coarse, in colour or grey."""
    cells = size // int(random.choice([1, 2, 4, 8, 16, 32])) or 1
    channels = 1 if random.random() < 0.3 else 3
    middle, spread = random.uniform(60, 195), random.uniform(15, 110)
    dots = np.clip(random.normal(middle, spread, (cells, cells, channels)), 0, 255).astype(np.uint8)
    image = Image.fromarray(np.broadcast_to(dots, (cells, cells, 3)).copy())
    filters = [Image.Resampling.NEAREST, Image.Resampling.BICUBIC]
    return image.resize((size, size), filters[int(random.integers(2))])


def text(size: int, random: Generator) -> Image.Image:
    """Lines of words that mean nothing, as of a page or a screenshot."""
    paper, ink = _paper_and_ink(random)
    image = Image.new("RGB", (size, size), paper)
    draw = ImageDraw.Draw(image)
    height = max(8, int(size * random.uniform(0.05, 0.25)))
    font = ImageFont.load_default(height)
    for top in range(int(height * random.random()), size, int(height * random.uniform(1.2, 2))):
        draw.text((size * random.uniform(0, 0.15), top), _words(random), fill=ink, font=font)
    return image


def drawing(size: int, random: Generator) -> Image.Image:
    """A few lines, circles, boxes and corners on one colour, as of a sketch, a sign or a chart."""
    paper, ink = _paper_and_ink(random)
    image = Image.new("RGB", (size, size), paper)
    draw = ImageDraw.Draw(image)
    for _ in range(int(random.integers(1, 12))):
        _shape(draw, size, ink if random.random() < 0.4 else _colour(random), random)
    return image


KINDS: Mapping[str, Maker] = {maker.__name__: maker for maker in (blank, noise, text, drawing)}


def strangers(count: int, size: int, seed: int) -> list[Image.Image]:
    """``count`` square pictures of ``size`` pixels a side, of all kinds in turn."""
    random = np.random.default_rng(seed)
    makers = list(KINDS.values())
    return [makers[i % len(makers)](size, random) for i in range(count)]


def _colour(random: Generator, pale: float = 0.0) -> Colour:
    """Any colour; with the chance ``pale`` white, black or a grey."""
    if random.random() < pale:
        grey = int(random.choice([255, 255, 0, int(random.integers(256))]))
        return grey, grey, grey
    red, green, blue = random.integers(0, 256, 3).tolist()
    return red, green, blue


def _paper_and_ink(random: Generator) -> tuple[Colour, Colour]:
    paper = _colour(random, pale=0.7)
    bright = sum(paper) > 380
    return paper, _colour(random) if random.random() < 0.3 else ((0, 0, 0) if bright else (255, 255, 255))


def _words(random: Generator) -> str:
    letters = list(string.ascii_letters + string.digits)
    return " ".join("".join(random.choice(letters, int(random.integers(1, 10)))) for _ in range(8))


def _shape(draw: ImageDraw.ImageDraw, size: int, colour: Colour, random: Generator) -> None:
    ends = random.uniform(-0.1, 1.1, (2, 2)) * size
    (left, top), (right, bottom) = np.sort(ends, axis=0).tolist()
    width = int(random.integers(1, max(2, size // 12)))
    filled = colour if random.random() < 0.5 else None
    kind = int(random.integers(4))
    if kind == 0:
        draw.line([tuple(end) for end in ends.tolist()], fill=colour, width=width)
    elif kind == 1:
        draw.ellipse((left, top, right, bottom), fill=filled, outline=colour, width=width)
    elif kind == 2:
        draw.rectangle((left, top, right, bottom), fill=filled, outline=colour, width=width)
    else:
        corners = random.uniform(0, size, (int(random.integers(3, 8)), 2)).tolist()
        draw.polygon([tuple(corner) for corner in corners], fill=filled, outline=colour)
