"""Diagnostics: what this machine has, what will be used, what is missing and how to get it."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import msgspec

from engine_bridge.access.endpoints import DEFAULT_CONTROL_ENDPOINT, DEFAULT_FRAMES_ENDPOINT
from engine_bridge.errors import BunrakuError
from runtime.character.file import Character
from runtime.character.shipped import SHIPPED, find_character, shipped_folder
from runtime.engines.cache import EngineCache
from runtime.engines.cuda_driver import cuda_driver
from runtime.sinks.films import ffmpeg_path, film_encoder_name

from . import machine
from .advice import install, install_afresh, install_extra
from .engines.backend import Backend
from .engines.choice import open_engine
from .engines.table import BACKENDS, backend_of

GOOD: Final = "ok"
LIMITED: Final = "limited"
MISSING: Final = "missing"

_SHIPPED_PICTURE_BYTES: Final = 512 * 512 * 4


class Finding(msgspec.Struct, frozen=True):
    """One item that was examined.

    Attributes:
        name: of the item.
        state: `ok`, `limited` (works without it) or `missing` (something will not work).
        found: what was found.
        advice: what to do, empty if nothing.
    """

    name: str
    state: str
    found: str
    advice: str = ""


def examine() -> list[Finding]:
    """Examine everything that Bunraku uses; never raises."""
    return [_safely(name, look) for name, look in _CHECKS]


def _safely(name: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except Exception as error:  # a broken library must not keep the others from being examined
        return Finding(name, MISSING, f"could not be examined: {error!r}", install_afresh())


def _python() -> Finding:
    about = machine.describe()
    fits = (3, 10) <= sys.version_info < (3, 14)
    advice = "" if fits else "Use Python 3.10 to 3.13."
    return Finding("python", GOOD if fits else LIMITED, f"{about['python']} on {about['system']}", advice)


def _processor() -> Finding:
    cores = machine.usable_cores()
    ours = machine.profile_threads("shared")
    known = ", ".join(machine.instructions()) or "instruction sets unknown"
    found = f"{machine.processor()}, {cores} cores, {ours} for inference beside a game; {known}"
    few = cores < 2
    return Finding("processor", LIMITED if few else GOOD, found, "One core must share with the game." if few else "")


def _memory() -> Finding:
    import psutil

    free = psutil.virtual_memory().available / 2**30
    low = free < 0.5
    return Finding("memory", LIMITED if low else GOOD, f"{free:.1f} GiB free", "Close other programs." if low else "")


def _gpu() -> Finding:
    driver = cuda_driver()
    if driver.missing:
        found, _, advice = driver.missing.partition("; ")
        return Finding("gpu", LIMITED, found, advice)
    gpus = (
        f"{g.name}, compute capability {g.compute_capability}, {g.memory_bytes / 2**30:.1f} GiB" for g in driver.gpus
    )
    return Finding("gpu", GOOD, f"{'; '.join(gpus)}; driver for CUDA {driver.version}")


def _engine() -> Finding:
    """The actual choice of `auto` for the shipped character."""
    try:
        with Character.open(find_character(SHIPPED)) as character, open_engine("auto", character) as choice:
            found = f"auto uses {choice.sentence()}"
    except BunrakuError as error:
        return Finding("engine", MISSING, str(error), install("onnxruntime"))
    return Finding("engine", GOOD, found, _faster(choice.engine.description.backend))


def _faster(chosen: str) -> str:
    """What would be faster here, and the command that installs it; empty if nothing."""
    if backend_of(chosen).on_gpu:
        return ""
    if not cuda_driver().missing:
        return f"The GPU would draw characters of format 1 faster: {install_extra('tensorrt-rtx')}"
    if chosen == "onnxruntime" and machine.instructions() and "asimd" not in machine.instructions():
        return f"OpenVINO is faster on this processor: {install_extra('openvino')}"
    return ""


def _backend(backend: Backend) -> Callable[[], Finding]:
    def look() -> Finding:
        reason, _, advice = backend.unavailable().partition("; ")
        name = backend.name
        return Finding(name, LIMITED, reason, advice) if reason else Finding(name, GOOD, "can be used")

    return look


def _built() -> Finding:
    cache = EngineCache()
    try:
        entries = cache.entries()
    except OSError as error:
        said = f"{cache.folder} cannot be used: {error.strerror}"
        return Finding("built engines", LIMITED, said, "Engines for GPUs are built again at every start.")
    size = sum(size for _, size in entries) / 2**20
    return Finding("built engines", GOOD, f"{len(entries)} in {cache.folder}, {size:.0f} MiB")


def _window() -> Finding:
    try:
        import pygame  # noqa: F401
    except ImportError as error:
        return Finding(
            "window",
            MISSING,
            f"pygame cannot be imported: {error}",
            install("--force-reinstall", "pygame-ce", "pygame_gui"),
        )
    reason = machine.missing_display()
    if reason:
        return Finding("window", LIMITED, reason, "bunraku live --no-window publishes without a window.")
    return Finding("window", GOOD, f"pygame-ce {version('pygame-ce')}")


def _ffmpeg() -> Finding:
    encoder = film_encoder_name()
    good = encoder != "mpeg4"
    advice = "" if good else f"Films are larger than they need to be: {install('--upgrade', 'imageio-ffmpeg')}"
    return Finding("films", GOOD if good else LIMITED, f"{encoder}, {ffmpeg_path()}", advice)


def _ports() -> Finding:
    taken = []
    for endpoint in (DEFAULT_FRAMES_ENDPOINT, DEFAULT_CONTROL_ENDPOINT):
        port = int(endpoint.rpartition(":")[2])
        with socket.socket() as probe:
            if sys.platform != "win32":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                taken.append(str(port))
    if taken:
        said = f"port {' and '.join(taken)} of 127.0.0.1 is taken"
        return Finding(
            "ports", LIMITED, said, "Another Bunraku may be running; choose others with --publish and --control."
        )
    return Finding("ports", GOOD, f"{DEFAULT_FRAMES_ENDPOINT} and {DEFAULT_CONTROL_ENDPOINT} are free")


def _wire() -> Finding:
    import zmq

    found = f"libzmq {zmq.zmq_version()}"
    if not zmq.has("curve"):
        return Finding(
            "wire",
            LIMITED,
            f"{found} without CURVE",
            f"Keys for other machines are unavailable: {install('--force-reinstall', 'pyzmq')}",
        )
    return Finding("wire", GOOD, f"{found}, CURVE for other machines")


def _shared_memory() -> Finding:
    """Whether a producer of the shipped character's size can create its ring, by creating one."""
    from engine_bridge.avf.ring import RingReader, RingWriter

    try:
        ring = RingWriter(_SHIPPED_PICTURE_BYTES, session=1)
    except OSError as error:
        said = f"cannot be used: {error.strerror or error}"
        advice = "Pixels go over the socket; in a container enlarge /dev/shm (docker run --shm-size=256m)."
        return Finding("shared memory", LIMITED, said, advice)
    try:
        RingReader(ring.name).close()
    finally:
        ring.close()
    return Finding("shared memory", GOOD, "clients on this machine can receive pixels through it")


def _streams() -> Finding:
    from engine_bridge.access.discovery import find_streams

    playing = ", ".join(f"{place.stream} at {place.frames}" for place in find_streams())
    return Finding("streams", GOOD, playing or "none is playing")


def _camera() -> Finding:
    try:
        found = f"pyvirtualcam {version('pyvirtualcam')}"
    except PackageNotFoundError:
        return Finding("camera", LIMITED, "not installed", f"For live --to camera:auto: {install_extra('camera')}")
    return Finding("camera", GOOD, f"{found}; live --to camera:auto says whether there is a device")


def _characters() -> Finding:
    files = sorted(shipped_folder().glob("*.bunraku"))
    if not files:
        said = f"none in {shipped_folder()}"
        return Finding("characters", LIMITED, said, "bunraku live --engine synthetic plays a test card.")
    names = []
    for file in files:
        with Character.open(file) as character:
            frame = character.manifest.frame
            names.append(f"{file.stem} ({frame.width}x{frame.height}, {file.stat().st_size / 2**20:.1f} MiB)")
    return Finding("characters", GOOD, ", ".join(names))


_CHECKS: Final[tuple[tuple[str, Callable[[], Finding]], ...]] = (
    ("python", _python),
    ("processor", _processor),
    ("memory", _memory),
    ("gpu", _gpu),
    ("engine", _engine),
    *((backend.name, _backend(backend)) for backend in BACKENDS),
    ("built engines", _built),
    ("window", _window),
    ("films", _ffmpeg),
    ("ports", _ports),
    ("wire", _wire),
    ("shared memory", _shared_memory),
    ("streams", _streams),
    ("camera", _camera),
    ("characters", _characters),
)
