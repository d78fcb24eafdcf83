#!/usr/bin/env python3
"""From a fresh clone to a moving picture, or to a full test run, in one command. Needs Python and a network, no more.

    python run.py demo [options of "bunraku live"]         play the shipped character in a window
    python run.py test [--allow-cuda] [options of pytest]  run all tests
    python run.py lock [--upgrade]                         write the lock files again, after a change of pyproject.toml

Try for example

    python run.py demo
    python run.py demo --identity 7 --no-window --seconds 5 --record seven.mp4
    python run.py test tests/unit -k frame

`demo` and `test` make `.venv` beside this file, install into it and start. The second time nothing is installed,
unless pyproject.toml, a lock file, the Python version or this folder's location changed. `demo` never installs
PyTorch. `test` does, in its CPU build where there is no NVIDIA card; it stops before downloading CUDA libraries
unnecessarily, unless you say --allow-cuda. `.venv` belongs to this script: delete it at any time, the next run makes a
new one.

Only what the lock files name is installed, and only files with the hashes they list; PyTorch is the exception, because
CPU build is a different file on every platform. `lock` keeps the versions that still fit; --upgrade takes the newest.

Exit codes: 0 done, 1 failed, 2 wrong usage; otherwise what the started program returned.
"""

import contextlib
import hashlib
import http.client
import json
import os
import platform
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Everything below may use Python 3.10 syntax; this part must still run, and the whole file parse, on Python 3.6.
if not (3, 10) <= sys.version_info[:2] <= (3, 13):
    usable = [name for name in ("python3.13", "python3.12", "python3.11", "python3.10") if shutil.which(name)]
    sys.exit(
        "Bunraku needs Python 3.10, 3.11, 3.12 or 3.13; this is Python {}.{} ({}).\n{}".format(
            sys.version_info[0],
            sys.version_info[1],
            sys.executable,
            f"Found beside it: {', '.join(usable)}. Try: {usable[0]} run.py {' '.join(sys.argv[1:])}"
            if usable
            else "Install one from https://www.python.org/downloads/ (Windows: then `py -3.13 run.py demo`).",
        )
    )

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
BUNRAKU = VENV / ("Scripts/bunraku.exe" if os.name == "nt" else "bin/bunraku")
STAMP = VENV / "bunraku-setup.json"  # written last: without it an unfinished set-up is discarded
LOCK = VENV / "bunraku-setup.lock"  # held while .venv is being filled; its presence says that .venv is ours
LOG = VENV / "bunraku-setup.log"  # output of pip in the failed step

# Default options of pytest: most tests mostly wait. Files are taken in their order, not by how many tests they have.
ALL_TESTS = ("-n", "3", "--dist", "loadfile", "--no-loadscope-reorder")
TEST_EXTRAS = frozenset({"train", "openvino", "test", "dev"})
DEMO_LOCK = ROOT / "locks" / "demo.txt"
TEST_LOCK = ROOT / "locks" / "test.txt"
PYPI = "https://pypi.org/simple"
UV = "uv==0.13.9"  # writes the lock files
BUILD_NEEDS = ("hatchling", "editables")  # for building an editable install
TORCH = "torch==2.13.0"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# Dependencies of its CPU build. It is not in the lock files itself: the file differs between the indexes that have it.
TORCH_NEEDS = (
    "filelock",
    "fsspec>=0.8.5",
    "jinja2",
    "networkx>=2.5.1",
    "setuptools>=77.0.3",
    "sympy>=1.13.3",
    "typing-extensions>=4.10.0",
)
PIP_DOING = re.compile(r"\s*((?:Collecting|Downloading|Building|Installing) .*?)(?: \(from .*|: .*)?$")
CUDA_PACKAGE = re.compile(r"\s*(Collecting (nvidia|cuda)-|Processing (.*[/\\])?(nvidia|cuda)_[^/\\]*\.whl)")
OLDEST_PIP = (22, 0)  # editable installs from pyproject.toml; Python 3.10.0 came with an older one

# What pip or venv says, the likely cause, what to do. The first match counts: specific patterns come first.
CAUSES = (
    (
        r"do not match the hashes",
        "a file from the package index is not the one that the lock file names.",
        "It may have been tampered with, or a mirror has built it again. Do not install it.{settings}",
    ),
    (
        r"hashes are required|in --require-hashes mode",
        "a lock file in the folder locks is incomplete.",
        "Restore it (git checkout locks), or write it again (python run.py lock).",
    ),
    (
        r"no space left|errno 28\b|not enough space|disk quota",
        "the disk is full.",
        "Free some space (the demo needs about 0.5 GB, the tests 2 GB, and pip as much again while it unpacks).",
    ),
    (
        r"ensurepip is not\s+available|no module named ensurepip",
        "this Python comes without the parts that make a virtual environment.",
        "On Debian or Ubuntu: sudo apt install python3-venv. Elsewhere use the Python of https://www.python.org/.",
    ),
    (
        r"proxyerror|cannot connect to proxy|407 proxy",
        "the proxy cannot be reached or refuses.",
        "Check HTTPS_PROXY and pip's own settings (python -m pip config list).{settings}",
    ),
    (
        r"certificate_verify_failed|sslerror|ssl: ",
        "the connection's certificate is not trusted, as behind a company proxy that opens TLS.",
        "Set PIP_CERT to the path of your certificate bundle.",
    ),
    (
        r"newconnectionerror|connecttimeout|readtimeout|connection (refused|reset|aborted|broken|timed out)|timed out"
        r"|name resolution|name or service not known|getaddrinfo|nodename nor servname|network is unreachable",
        "no network, or the package index cannot be reached.",
        "Check the network; what is already downloaded stays in pip's cache.{settings}",
    ),
    (
        r"permission denied|errno 13\b|winerror (5|32)\b|access is denied|read-only file system",
        "this folder cannot be written, or a file in .venv is in use.",
        "Close programs that run from .venv and check the permissions of this folder.",
    ),
    (
        r"could not find a version|no matching distribution|is not a supported wheel",
        "the package index has no file for {here}.",
        "Use a 64-bit Python 3.10 to 3.13 on Linux (glibc), macOS or Windows.{settings}",
    ),
    (
        r"failed building wheel|failed to build|subprocess-exited-with-error|visual c\+\+|command '(gcc|cc|clang)",
        "a package comes without a ready-made file for {here}, and building it here failed.",
        "Use a 64-bit Python 3.10 to 3.13 on Linux (glibc), macOS or Windows.",
    ),
)
UNKNOWN = ("", "not known to this script.", "If it persists, report it with the output above.")


class SetUpError(Exception):
    """The environment could not be created; the message says why and what to do."""


def main(arguments: list[str]) -> int:
    """Run one command line; returns the exit code."""
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if command in ("-h", "--help") or (command in ("demo", "test", "lock") and rest[:1] in (["-h"], ["--help"])):
        print(__doc__)
        return 0
    run = {"demo": demo, "test": test, "lock": lock}.get(command)
    if run is None or (run is lock and rest not in ([], ["--upgrade"])):
        problem = f"There is no command {' '.join(arguments)!r}." if command else "A command is missing."
        print(f"{problem} Use `demo`, `test` or `lock`:\n\n{__doc__}", file=sys.stderr)
        return 2
    try:
        return run(rest)
    except SetUpError as failure:
        print(f"\n{failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


def demo(arguments: list[str]) -> int:
    """Play the shipped character; without a display, record ten seconds of it instead."""
    set_up(frozenset())
    command = [str(BUNRAKU), "live"]
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        print("No display here (DISPLAY and WAYLAND_DISPLAY are unset): playing 10 s without a window into demo.webp.")
        command += ["--no-window", "--seconds", "10", "--record", "demo.webp"]
    return hand_over([*command, *arguments])


def test(arguments: list[str]) -> int:
    """Run the tests with everything installed that they can use."""
    set_up(TEST_EXTRAS, allow_cuda="--allow-cuda" in arguments)
    os.chdir(ROOT)
    words = [word for word in arguments if word != "--allow-cuda"]
    return hand_over([str(PYTHON), "-m", "pytest", *(words or ALL_TESTS)])


def lock(arguments: list[str]) -> int:
    """Write the lock files, for every supported system and Python, with the hashes of all files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        programs = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        run_step("Making an environment for uv", [base_python(), "-m", "venv", str(folder / "venv")])
        run_step(f"Getting {UV}", [str(programs / "python"), "-m", "pip", "install", "--only-binary=:all:", UV])
        # Nothing else may bring it in: an override that never applies removes it.
        (folder / "without-torch.txt").write_text("torch; python_version < '0'\n")
        options = ["--universal", "--python-version=3.10", "--generate-hashes", "--only-binary=:all:", "--no-annotate"]
        options += ["--no-config", "--quiet", "--default-index", PYPI, "--custom-compile-command=python run.py lock"]
        options += ["--overrides", str(folder / "without-torch.txt"), *arguments]
        # The smaller one last and constrained by the larger one, so that `test` after `demo` replaces nothing.
        for path, extras, needs in (
            (TEST_LOCK, TEST_EXTRAS, (*BUILD_NEEDS, *TORCH_NEEDS)),
            (DEMO_LOCK, frozenset[str](), BUILD_NEEDS),
        ):
            (folder / "needs.in").write_text("\n".join(needs) + "\n")
            wanted = ["pyproject.toml", str(folder / "needs.in"), *(f"--extra={extra}" for extra in sorted(extras))]
            held = ["--constraints", str(TEST_LOCK)] if path == DEMO_LOCK else []
            path.parent.mkdir(exist_ok=True)
            compiling = [str(programs / "uv"), "pip", "compile", *wanted, *options, *held, "--output-file", str(path)]
            run_step(f"Resolving {path.relative_to(ROOT)}", compiling)
    return 0


def hand_over(command: list[str]) -> int:
    """Replace this process by the command where possible (signals then reach it directly); else run it and wait."""
    sys.stdout.flush()
    if os.name == "posix":
        os.execv(command[0], command)
    return subprocess.call(command)


# ---------------------------------------------------------------------------------------------------------------------
# The environment


def set_up(extras: frozenset[str], *, allow_cuda: bool = False) -> None:
    """Ensure that `.venv` holds Bunraku with at least these extras; does nothing if it already does.

    Raises:
        SetUpError: it failed; the next run starts afresh.
    """
    if is_ready(extras):
        return
    begun_before = LOCK.exists()
    if VENV.exists() and not begun_before and not (VENV / "pyvenv.cfg").exists() and not is_empty_folder(VENV):
        raise SetUpError(
            f"{VENV} is not a virtual environment and is in the way. Move it elsewhere and run this again."
        )
    started = time.monotonic()
    try:
        VENV.mkdir(exist_ok=True)
        with held(LOCK):
            if is_ready(extras):  # another run did the work while this one waited
                return
            fill(extras, unfinished=begun_before and not STAMP.exists(), allow_cuda=allow_cuda)
            STAMP.write_text(json.dumps({**here(), "pyproject": fingerprint(), "extras": sorted(extras)}))
    except OSError as error:
        raise SetUpError(explain("Preparing .venv failed.", [str(error)])) from error
    print(f"Ready after {time.monotonic() - started:.0f} s; the next start needs no set-up.")


def is_empty_folder(path: Path) -> bool:
    """Whether this is an empty folder."""
    return path.is_dir() and not any(path.iterdir())


def is_ready(extras: frozenset[str]) -> bool:
    """Whether the last set-up was finished, for this pyproject.toml, Python and folder, with at least these extras."""
    stamp = read_stamp()
    return (
        PYTHON.exists()
        and BUNRAKU.exists()
        and here().items() <= stamp.items()
        and stamp.get("pyproject") == fingerprint()
        and extras <= set(stamp.get("extras", ()))
    )


def read_stamp() -> dict[str, Any]:
    """Record of the last finished set-up; empty if there was none."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return dict(json.loads(STAMP.read_text()))
    return {}


def here() -> dict[str, str]:
    """What a virtual environment is tied to: scripts contain its path, packages fit one Python."""
    return {"python": "{}.{}".format(*sys.version_info), "folder": str(ROOT)}


def fingerprint() -> str:
    """A key that changes when what must be installed may have changed.

    Raises:
        SetUpError: a file that says what to install is missing.
    """
    digest = hashlib.sha256()
    for path in (ROOT / "pyproject.toml", DEMO_LOCK, TEST_LOCK):
        try:
            digest.update(path.read_bytes())
        except OSError as error:
            raise SetUpError(f"{path} cannot be read: {error.strerror}. Restore it: git checkout .") from error
    return digest.hexdigest()


def base_python() -> str:
    """The interpreter below an active virtual environment, which may be about to be replaced."""
    return getattr(sys, "_base_executable", None) or sys.executable


def fill(extras: frozenset[str], *, unfinished: bool, allow_cuda: bool) -> None:
    """Create the environment if it is missing, unfinished, moved or for another Python; then install."""
    stamp = read_stamp()
    STAMP.unlink(missing_ok=True)
    moved = bool(stamp) and not here().items() <= stamp.items()
    pip_version = None if unfinished or moved else pip_version_inside()
    if pip_version is None:
        for entry in VENV.iterdir():
            if entry == LOCK:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        run_step("Making .venv", [base_python(), "-m", "venv", str(VENV)])
        pip_version = pip_version_inside()
    if pip_version is None:
        raise SetUpError(f"Python in {VENV} does not start. Delete that folder and run this again.")
    if pip_version < OLDEST_PIP:
        pip_install("Renewing pip", "--upgrade", "pip")
    locked = TEST_LOCK if extras else DEMO_LOCK
    # The lock file names everything, so nothing is resolved and nothing is built.
    exactly = ["--require-hashes", "--no-deps", "--only-binary=:all:", "--requirement", str(locked)]
    pip_install("Installing " + ("what all extras need" if extras else "what Bunraku needs"), *exactly)
    if "train" in extras:
        install_torch(allow_cuda=allow_cuda)
    pip_install("Installing Bunraku", "--no-deps", "--no-build-isolation", "--editable", ".")


def pip_version_inside() -> tuple[int, ...] | None:
    """Version of the pip in `.venv`; None if that Python is missing, broken or another version than this one."""
    ask = "import sys, pip; print(*sys.version_info[:2], pip.__version__)"
    with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
        answer = subprocess.run(
            [str(PYTHON), "-I", "-c", ask],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        major, minor, pip_version = answer.stdout.split()
        if (int(major), int(minor)) == sys.version_info[:2]:
            return tuple(int(number) for number in pip_version.split(".")[:2])
    return None


def install_torch(*, allow_cuda: bool) -> None:
    """Install PyTorch: the CPU build where there is no NVIDIA card. Its dependencies are already installed.

    PyTorch's own index is used for PyTorch only. Where it cannot be reached, the user's pip settings
    decide: a local version such as 2.13.0+cpu beats 2.13.0, so an index or folder that has the CPU build is enough.
    Where none has, pip is stopped as soon as it selects CUDA packages, which happens before it downloads them.
    """
    if shutil.which("nvidia-smi") or allow_cuda:
        pip_install("Installing PyTorch", TORCH)
    elif sys.platform != "darwin" and answers(TORCH_CPU_INDEX):
        pip_install("Installing PyTorch for the CPU", "--no-deps", "--index-url", TORCH_CPU_INDEX, TORCH)
    else:
        pip_install("Installing PyTorch for the CPU", TORCH, stop_at=CUDA_PACKAGE)


def answers(url: str) -> bool:
    """Whether a web address can be reached, through the system's proxy settings."""
    page = urllib.request.Request(url + "/torch/", method="HEAD")
    try:
        urllib.request.urlopen(page, timeout=5).close()
    except (OSError, ValueError, http.client.HTTPException):
        return False
    return True


def pip_install(title: str, *arguments: str, stop_at: re.Pattern[str] | None = None) -> None:
    """Install with the pip inside `.venv`, under the user's own pip settings.

    Python compiles what it imports anyway; doing it for every file now (pip's default) is a quarter of the time.
    """
    options = ["--no-input", "--disable-pip-version-check", "--progress-bar=off", "--prefer-binary", "--no-compile"]
    run_step(title, [str(PYTHON), "-I", "-X", "utf8", "-m", "pip", "install", *options, *arguments], stop_at=stop_at)


# ---------------------------------------------------------------------------------------------------------------------
# Showing and explaining


def run_step(title: str, command: list[str], *, stop_at: re.Pattern[str] | None = None) -> None:
    """Run one step of the set-up under a live line with the elapsed seconds.

    Args:
        title: what is being done.
        command: program and arguments.
        stop_at: ends the program when a line of its output matches; only ever used for CUDA packages.

    Raises:
        SetUpError: the program failed or was stopped; the message holds its last lines and the likely cause.
    """
    live = LiveLine(title)
    lines: list[str] = []
    arriving: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )

    def read() -> None:
        for line in process.stdout or ():
            arriving.put(line.rstrip())
        arriving.put(None)

    threading.Thread(target=read, daemon=True).start()
    try:
        while True:
            try:
                line = arriving.get(timeout=1)
            except queue.Empty:
                live.show()
                continue
            if line is None:
                break
            lines.append(line)
            live.show(line)
            if stop_at and stop_at.match(line):
                live.close("stopped")
                raise SetUpError(cuda_explanation(line))
        code = process.wait()
    finally:
        end(process)
    if code:
        live.close("failed")
        raise SetUpError(explain(f"{title} failed.", lines))
    live.close("done")


def end(process: subprocess.Popen[str]) -> None:
    """Stop a program like Ctrl-C would, so that pip cleans up partial downloads."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT if os.name == "posix" else signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
    process.wait()


class LiveLine:
    """One terminal line that is rewritten; in a log, a line at the start, every half minute and at the end."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.detail = ""
        self.started = self.printed = time.monotonic()
        self.on_terminal = sys.stdout.isatty()
        if not self.on_terminal:
            print(f"{title} ...", flush=True)

    @property
    def seconds(self) -> int:
        """Whole seconds since the step began."""
        return round(time.monotonic() - self.started)

    def show(self, detail: str = "") -> None:
        """Show the time, with pip's latest activity."""
        doing = PIP_DOING.match(detail)
        if doing:
            self.detail = doing[1].encode("ascii", "replace").decode()
        text = f"{self.title}: {self.seconds:3d} s  {self.detail}"
        if self.on_terminal:
            width = shutil.get_terminal_size().columns - 1
            print("\r" + text[:width].ljust(width), end="", flush=True)
        elif time.monotonic() - self.printed > 30:
            self.printed = time.monotonic()
            print(f"  {text}", flush=True)

    def close(self, outcome: str) -> None:
        """Replace the live line with the outcome."""
        text = f"{self.title}: {outcome} after {self.seconds} s"
        if self.on_terminal:
            width = shutil.get_terminal_size().columns - 1
            print("\r" + text[:width].ljust(width), flush=True)
        else:
            print(text, flush=True)


def explain(what: str, lines: list[str]) -> str:
    """Report what failed, its last output, the likely cause and the fix."""
    said = [line for line in lines if line.strip() and not line.startswith("[notice]")]
    with contextlib.suppress(OSError):
        LOG.write_text("\n".join(said) + "\n", encoding="utf-8")
    _, cause, cure = next((known for known in CAUSES if re.search(known[0], "\n".join(said), re.IGNORECASE)), UNKNOWN)
    bits = 64 if sys.maxsize > 2**32 else 32
    place = f"Python {platform.python_version()} ({bits}-bit) on {platform.system()} {platform.machine()}"
    # Names only: the values may contain passwords.
    names = sorted(name for name in os.environ if re.match(r"PIP_.*(INDEX|LINKS|PROXY|CONFIG_FILE)", name))
    settings = f" These settings say where pip looks: {', '.join(names)}." if names else ""
    return "\n".join(
        [
            what,
            *(f"    {line}" for line in said[-8:]),
            f"Likely cause: {cause.format(here=place)}",
            cure.format(settings=settings) + " Then run the same command again; it starts afresh.",
            *([f"Full output: {LOG}"] if LOG.exists() else []),
        ]
    )


def cuda_explanation(line: str) -> str:
    """Explain why the download of PyTorch was stopped."""
    said = line.partition(" (from ")[0].strip()
    return (
        f"Stopped before downloading gigabytes: PyTorch from your package index wants CUDA libraries ({said}), "
        "and this machine shows no NVIDIA card (no nvidia-smi).\n"
        f"The small CPU build is at {TORCH_CPU_INDEX}, which could not be reached. Make it reachable, or name an "
        "index that has the CPU build in PIP_EXTRA_INDEX_URL, and run this again.\n"
        "To install the big build all the same: python run.py test --allow-cuda"
    )


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a file lock against other runs of this script, waiting for them; a run that dies releases it."""
    with path.open("a") as file:
        if not try_hold(file.fileno()):
            print("Another run.py is setting up .venv; waiting for it.", flush=True)
            while not try_hold(file.fileno()):
                time.sleep(0.5)
        yield


def try_hold(descriptor: int) -> bool:
    """Take the lock without waiting; on file systems without locks this always succeeds."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
    else:
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
