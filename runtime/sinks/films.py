"""Films and pictures on disk: `.mp4`, animated `.webp`, a folder of `.png`.

Output without alpha is RGB in one of two layouts: over a colour, or with alpha beside the colour.

Every sink takes an iterator of pictures. `write_film` writes a file atomically; `record_film` writes one that is
playable however it ends. Files carry a note that they were made by a neural network.
"""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from engine_bridge import side_by_side
from engine_bridge.errors import SinkError
from runtime import atomic
from runtime.advice import install

Pixels = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]
Layout = Literal["flat", "side-by-side"]
Started = Callable[["subprocess.Popen[bytes]"], None]

SUFFIXES: Final = (".mp4", ".webp")
DEFAULT_BACKGROUND: Final = "#202428"
_NAMED: Final = {"green": "#00ff00", "black": "#000000", "white": "#ffffff", "checkerboard": DEFAULT_BACKGROUND}


@dataclass(frozen=True, slots=True)
class Film:
    """Common properties of all pictures of a film.

    Attributes:
        width: in pixels.
        height: in pixels.
        fps: pictures per second.
        background: shown through transparent pixels; only for `.mp4`.
        note: a sentence on the origin of the pictures, written into the file.
        layout: how an `.mp4` represents alpha; the others keep it.
    """

    width: int
    height: int
    fps: float
    background: Colour
    note: str
    layout: Layout = "flat"


def parse_colour(text: str) -> Colour:
    """Parse `#rrggbb`, or a name that the window offers, to three numbers; a pattern becomes a plain colour.

    Raises:
        SinkError: it is not a colour.
    """
    match = re.fullmatch(r"#?([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})", _NAMED.get(text, text))
    if match is None:
        raise SinkError(f'"{text[:40]}" is not a colour. Write #rrggbb, for example {DEFAULT_BACKGROUND}.')
    red, green, blue = (int(part, 16) for part in match.groups())
    return red, green, blue


def check_film_path(path: Path, layout: Layout = "flat") -> None:
    """Refuse a path that no sink can write, before any work is done.

    Raises:
        SinkError: the suffix is unknown, the place is unsuitable, or the layout does not apply to it.
    """
    if layout != "flat" and path.suffix.lower() != ".mp4":
        raise SinkError(f"{path.name} keeps alpha as it is; the layout {layout} is for .mp4 only.")
    if path.suffix and path.suffix.lower() not in SUFFIXES:
        raise SinkError(
            f'Cannot write "{path.name}". Choose a name that ends in .mp4 or .webp, or a folder for pictures.'
        )
    if not atomic.is_folder(path.parent):
        raise SinkError(f'The folder "{path.parent}" does not exist. Make it, or choose another place for {path.name}.')


def write_film(path: Path, frames: Iterable[Pixels], film: Film) -> int:
    """Write all frames.

    Args:
        path: ends in `.mp4` or `.webp`, or is a missing or empty folder.
        frames: uint8 [H, W, 4], RGBA, straight alpha; each is finished before the next is requested.
        film: common properties.

    Returns:
        Number of frames written.

    Raises:
        SinkError: the place cannot be written to, or the encoder failed. Nothing half-written is left.
    """
    check_film_path(path, film.layout)
    count = 0

    def counted() -> Iterator[Pixels]:
        nonlocal count
        for pixels in frames:
            count += 1
            yield pixels

    kind = path.suffix.lower()
    with atomic.replacing(path) if kind else atomic.replacing_folder(path) as part:
        if kind == ".mp4":
            _write_mp4(part, path.name, counted(), film, "+faststart")
        elif kind == ".webp":
            _write_webp(part, path.name, counted(), film)
        else:
            _write_pictures(part, counted(), film)
    return count


def record_film(part: Path, name: str, frames: Iterator[Pixels], film: Film, *, started: Started) -> None:
    """Write frames as they come, so that everything written before a crash can be played.

    An `.mp4` consists of fragments of a second each; the pictures of a folder are independent. An animated `.webp`
    is complete only at the end: it survives the end of this process, but not that of the encoder.

    Args:
        part: an empty file or folder.
        name: display name.
        frames: uint8 [H, W, 4], RGBA, straight alpha; each is finished before the next is requested.
        film: common properties.
        started: called with the encoder's process, which may be killed at any time.

    Raises:
        SinkError: the encoder failed.
        OSError: the place can no longer be written to.
    """
    kind = part.suffix.lower()
    if kind == ".mp4":
        # Keyframes every two seconds, fragments every second, and none held back in the encoder's own buffer.
        often = ["-g", str(max(1, round(2 * film.fps))), "-frag_duration", "1000000", "-flush_packets", "1"]
        _write_mp4(part, name, frames, film, _fragments(), *often, started=started)
    elif kind == ".webp":
        _write_webp(part, name, frames, film, started=started)
    else:
        _write_pictures(part, frames, film)


def flatten(pixels: Pixels, background: Colour, out: Pixels, scratch: npt.NDArray[np.uint16]) -> Pixels:
    """Composite a picture over a colour, in encoded values like screens and engines.

    Args:
        pixels: uint8 [H, W, 4], straight alpha.
        background: the colour.
        out: uint8 [H, W, 3], filled and returned.
        scratch: uint16 [H, W], overwritten.
    """
    alpha = pixels[..., 3].astype(np.uint16)
    inverse = 255 - alpha
    for channel in range(3):
        np.multiply(pixels[..., channel], alpha, out=scratch)
        scratch += inverse * np.uint16(background[channel])
        scratch += 127
        np.floor_divide(scratch, 255, out=scratch)
        out[..., channel] = scratch
    return out


class RgbLayout:
    """Converts pictures with alpha to RGB.

    Attributes:
        width: of the result, in pixels.
        height: of the result, in pixels.
    """

    def __init__(self, width: int, height: int, layout: Layout, background: Colour) -> None:
        """Allocate memory for one picture.

        Args:
            width: of the input, in pixels.
            height: of the input, in pixels.
            layout: `flat` composites over the background; `side-by-side` puts alpha as grey to the right of the
                colour, so that the picture is twice as wide.
            background: the colour.
        """
        self.width = width if layout == "flat" else 2 * width
        self.height = height
        self._layout = layout
        self._background = background
        self._out = np.empty((height, self.width, 3), np.uint8)
        self._scratch = np.empty((height, width), np.uint16)

    def __call__(self, pixels: Pixels) -> Pixels:
        """uint8 [H, W, 4] as uint8 [height, width, 3]; overwritten by the next call."""
        if self._layout == "flat":
            return flatten(pixels, self._background, self._out, self._scratch)
        return side_by_side.pack(pixels, self._out)


def _ignore(_process: subprocess.Popen[bytes]) -> None:
    """Ignore the encoder's process."""


def _write_mp4(
    part: Path, name: str, frames: Iterator[Pixels], film: Film, flags: str, *more: str, started: Started = _ignore
) -> None:
    rgb = RgbLayout(film.width, film.height, film.layout, film.background)
    note = film.note if film.layout == "flat" else f"{film.note}; left half colour, right half alpha"
    even = "pad=ceil(iw/2)*2:ceil(ih/2)*2"
    options = ["-vf", f"{even},scale=out_color_matrix=bt709:out_range=tv,format=yuv420p", *_film_encoder()]
    options += ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-threads", "2"]
    options += ["-movflags", flags, *more, "-metadata", f"comment={note}"]
    size = (rgb.width, rgb.height)
    _encode(part, name, map(rgb, frames), film, size=size, pixel_format="rgb24", options=options, started=started)


def _write_webp(part: Path, name: str, frames: Iterator[Pixels], film: Film, *, started: Started = _ignore) -> None:
    if " libwebp_anim " not in _encoders():
        raise SinkError(f"This ffmpeg lacks animated WebP ({ffmpeg_path()}). Write .mp4 or a folder of pictures.")
    options = ["-c:v", "libwebp_anim", "-pix_fmt", "bgra", "-quality", "90", "-compression_level", "3", "-loop", "0"]
    size = (film.width, film.height)
    _encode(part, name, frames, film, size=size, pixel_format="rgba", options=options, started=started)
    _add_note(part, film.note)


def _encode(
    part: Path,
    name: str,
    pictures: Iterable[Pixels],
    film: Film,
    *,
    size: tuple[int, int],
    pixel_format: str,
    options: list[str],
    started: Started,
) -> None:
    """Feed pictures of a size, width and height, to ffmpeg, one by one, and wait for its file.

    If this process is killed, the encoder finds the end of its input and completes the file.
    """
    command = [ffmpeg_path(), "-hide_banner", "-loglevel", "error", "-nostdin", "-y", "-f", "rawvideo"]
    command += ["-pix_fmt", pixel_format, "-s", f"{size[0]}x{size[1]}", "-r", f"{film.fps:g}", "-i", "pipe:0"]
    # With the protocol and an absolute path, a name may begin with a dash or hold a colon.
    command += ["-an", *options, f"file:{part.absolute()}"]
    with tempfile.TemporaryFile() as said:
        # Its own process group: Ctrl-C in the terminal is ours to handle, not the encoder's.
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=sys.platform != "win32",
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        started(process)
        pipe = process.stdin
        assert pipe is not None
        gave_up = False
        try:
            try:
                for pixels in pictures:
                    pipe.write(pixels.data)
                pipe.close()
            except BrokenPipeError:  # its own output says why
                gave_up = True
            code = process.wait(timeout=120)
        except subprocess.TimeoutExpired:
            raise SinkError(f"The encoder did not finish {name} within two minutes. Try a shorter film.") from None
        finally:
            if process.poll() is None:
                process.kill()
                with contextlib.suppress(subprocess.TimeoutExpired):  # one that waits for a dead disk ends when it can
                    process.wait(timeout=5)
            with contextlib.suppress(OSError):
                pipe.close()
        if code != 0 or gave_up:
            said.seek(0)
            words = said.read(4000).decode("utf-8", "replace").strip().splitlines()
            last = words[-1] if words else f"it ended with code {code}"
            raise SinkError(
                f"The encoder could not write {name}: {last}. If the disk is full, free some room or write "
                "somewhere else."
            )


def ffmpeg_path() -> str:
    """The encoder program.

    Raises:
        SinkError: there is none.
    """
    import imageio_ffmpeg

    try:
        path = str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise SinkError(
            f"No ffmpeg was found ({error}). Write .webp or a folder of pictures instead, or install ffmpeg with: "
            f"{install('--force-reinstall', 'imageio-ffmpeg')}"
        ) from error
    if shutil.which(path) is None:
        raise SinkError(f"The ffmpeg at {path} is not a program. Set IMAGEIO_FFMPEG_EXE to another one, or unset it.")
    return path


@lru_cache(maxsize=1)
def _encoders() -> str:
    listed = subprocess.run([ffmpeg_path(), "-hide_banner", "-encoders"], capture_output=True, check=False, timeout=60)
    return listed.stdout.decode("utf-8", "replace")


def film_encoder_name() -> str:
    """The best film encoder of this ffmpeg."""
    return next((name for name in ("libx264", "libopenh264") if f" {name} " in _encoders()), "mpeg4")


@lru_cache(maxsize=1)
def _fragments() -> str:
    """Options for an MP4 that is playable however it ends; from ffmpeg 7.1 on it becomes an ordinary one at the end."""
    command = [ffmpeg_path(), "-hide_banner", "-h", "muxer=mp4"]
    listed = subprocess.run(command, capture_output=True, check=False, timeout=60)
    hybrid = b"hybrid_fragmented" in listed.stdout
    return "+hybrid_fragmented+frag_keyframe" if hybrid else "+frag_keyframe+empty_moov+default_base_moof"


def _film_encoder() -> list[str]:
    name = film_encoder_name()
    options = {
        "libx264": ["-preset", "veryfast", "-crf", "18"],
        "libopenh264": ["-b:v", "4M"],
        "mpeg4": ["-q:v", "3"],
    }
    return ["-c:v", name, *options[name]]


def _add_note(part: Path, note: str) -> None:
    """Append an XMP chunk to an animated WebP, which the encoder cannot write (RIFF container, VP8X flag 0x04)."""
    with part.open("rb+") as file:
        head = file.read(21)
        if head[:4] != b"RIFF" or head[8:16] != b"WEBPVP8X":
            return  # a single picture in the simple form cannot hold metadata
        body = _xmp(note)
        chunk = b"XMP " + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) % 2)
        file.seek(20)
        file.write(bytes([head[20] | 0x04]))
        file.seek(0, io.SEEK_END)
        file.write(chunk)
        size = file.tell() - 8
        file.seek(4)
        file.write(size.to_bytes(4, "little"))


def _xmp(note: str) -> bytes:
    from xml.sax.saxutils import escape

    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:description><rdf:Alt>'
        f'<rdf:li xml:lang="x-default">{escape(note)}</rdf:li>'
        "</rdf:Alt></dc:description></rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def _write_pictures(part: Path, frames: Iterator[Pixels], film: Film) -> None:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    about = PngInfo()
    about.add_itxt("Description", film.note)
    for index, pixels in enumerate(frames):
        picture = part / f"{index:06d}.png"
        try:
            Image.fromarray(pixels).save(picture, compress_level=4, pnginfo=about)
        except OSError:
            picture.unlink(missing_ok=True)  # a torn one
            raise
