"""The page in a real browser: pixels over a busy background, sliders, and producers that come and go."""

from __future__ import annotations

import functools
import http.server
import json
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from engine_bridge import Pixels
from engine_bridge.avf.wire import FrameMessage, decode
from engine_bridge.web import WebRelay
from tests.busy_background import STRIPE_PX, STRIPES, over, stripes
from tests.chromium import Chromium, Tab
from tests.conftest import REPOSITORY
from tests.end_to_end.web_peers import PATIENCE_S, Producer, card, eventually
from tests.transcript import TranscriptPlayer, read_transcript

STATE = "document.body.dataset.link"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def producer() -> Iterator[Producer]:
    with Producer(card()) as made:
        yield made


@pytest.fixture
def relay(producer: Producer) -> Iterator[WebRelay]:
    with WebRelay("127.0.0.1:0", frames_endpoint=producer.publisher.endpoint) as made:
        yield made


def stripes_behind(tab: Tab) -> None:
    """Put a busy background behind the page's picture."""
    stops = [f"rgb{colour} {i * STRIPE_PX}px {(i + 1) * STRIPE_PX}px" for i, colour in enumerate(STRIPES)]
    background = f"repeating-linear-gradient(90deg, {', '.join(stops)})"
    tab.evaluate(f"document.documentElement.style.background = {json.dumps(background)}")


@pytest.fixture
def example_server() -> Iterator[str]:
    """Origin of a server for the example's files, started as in its README."""
    folder = REPOSITORY / "examples/20_talking_npc/browser"
    handler = functools.partial(_QuietFiles, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()
        thread.join(PATIENCE_S)


class _QuietFiles(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


def assert_shows(tab: Tab, expected: Pixels, *, within: int = 1) -> None:
    """Check every pixel of the page, as soon as the frame is there."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        seen = tab.screenshot()
        assert seen.shape == expected.shape
        difference = int(np.abs(seen.astype(int) - expected).max())
        if difference <= within:
            return
        assert time.monotonic() < deadline, f"a pixel differs by {difference}"


# -- pixels


def test_the_picture_is_blended_over_the_page_exactly(chromium: Chromium, relay: WebRelay, producer: Producer) -> None:
    tab = chromium.open(f"{relay.url}?ui=0", width=256, height=256)
    stripes_behind(tab)
    assert_shows(tab, over(producer.pixels, stripes(256, 256)))
    tab.close()


def test_one_screen_pixel_per_picture_pixel_on_a_dense_screen(
    chromium: Chromium, relay: WebRelay, producer: Producer
) -> None:
    tab = chromium.open(f"{relay.url}?ui=0&bg=%2320c040", width=128, height=128, density=2.0)
    assert_shows(tab, over(producer.pixels, np.full((256, 256, 3), (0x20, 0xC0, 0x40), np.uint8)))
    tab.close()


def test_a_picture_of_other_shape_stands_on_the_lower_edge(
    chromium: Chromium, relay: WebRelay, producer: Producer
) -> None:
    producer.pixels = card()[:101, :]
    tab = chromium.open(f"{relay.url}?ui=0", width=256, height=200)
    stripes_behind(tab)
    expected = np.array(stripes(200, 256))
    expected[99:200] = over(producer.pixels, stripes(101, 256))
    assert_shows(tab, expected)
    tab.close()


def test_a_scaled_edge_has_no_dark_fringe(chromium: Chromium, relay: WebRelay, producer: Producer) -> None:
    y, x = np.mgrid[-128:128, -128:128]
    inside = (x * x + y * y < 100 * 100)[..., None]
    producer.pixels = np.where(inside, np.uint8(255), np.array([0, 0, 0, 0], np.uint8)).astype(np.uint8)
    for width in (101, 347):
        tab = chromium.open(f"{relay.url}?ui=0&bg=white", width=width, height=width)
        assert_shows(tab, np.full((width, width, 3), 255, np.uint8))
        tab.close()


@pytest.mark.parametrize("variant", ["lz4", "jpeg"])
def test_what_travels_packed_looks_the_same(
    chromium: Chromium, relay: WebRelay, producer: Producer, variant: str
) -> None:
    y, x = np.mgrid[0:256, 0:256]
    producer.pixels = np.stack([x, y, 255 - x, (x + y) // 2], axis=-1).astype(np.uint8)
    tab = chromium.open(f"{relay.url}?ui=0&enc={variant}", width=256, height=256)
    stripes_behind(tab)
    # JPEG changes colours a little and alpha not at all.
    assert_shows(tab, over(producer.pixels, stripes(256, 256)), within=1 if variant == "lz4" else 8)
    tab.close()


def test_a_lost_graphics_context_comes_back(chromium: Chromium, relay: WebRelay, producer: Producer) -> None:
    tab = chromium.open(f"{relay.url}?ui=0", width=256, height=256)
    stripes_behind(tab)
    expected = over(producer.pixels, stripes(256, 256))
    assert_shows(tab, expected)
    tab.evaluate(
        """new Promise((resolve) => {
            const canvas = document.getElementById("picture");
            const context = canvas.getContext("webgl2").getExtension("WEBGL_lose_context");
            canvas.addEventListener("webglcontextrestored", () => resolve(true), { once: true });
            const restore = () => setTimeout(() => context.restoreContext(), 50);
            canvas.addEventListener("webglcontextlost", restore, { once: true });
            context.loseContext();
        })"""
    )
    assert_shows(tab, expected)
    tab.close()


def test_a_recorded_stream_plays_in_the_page(chromium: Chromium) -> None:
    records = read_transcript(REPOSITORY / "assets/conformance/v1/transcripts/test_card.avr")
    last = [message for _, parts in records if isinstance(message := decode(parts), FrameMessage)][-1]
    height, width = last.frame.pixels.shape[:2]
    with TranscriptPlayer(records) as player, WebRelay("127.0.0.1:0", frames_endpoint=player.endpoint) as relay:
        tab = chromium.open(f"{relay.url}?ui=0", width=width, height=height)
        stripes_behind(tab)
        assert_shows(tab, over(last.frame.pixels, stripes(height, width)))
        tab.close()


def test_the_shipped_character_is_blended_exactly(chromium: Chromium) -> None:
    from runtime.character.file import Character
    from runtime.character.shipped import find_character
    from runtime.drivers.table import open_drivers
    from runtime.engines.choice import open_engine
    from runtime.engines.factory import EngineSettings
    from runtime.live.performer import Performer
    from runtime.live.stage import Stage

    with Character.open(find_character("aki")) as character:
        choice = open_engine("onnxruntime", character, precision="fp32", settings=EngineSettings(1, "shared"))
    with choice:
        stage = Stage([Performer(choice.role, choice.engine, open_drivers([], choice.role.idle))])
        [frame] = stage.tick(1_000_000_000)
        pixels = frame.pixels.copy()
    height, width = pixels.shape[:2]
    with (
        Producer(pixels) as producer,
        WebRelay("127.0.0.1:0", frames_endpoint=producer.publisher.endpoint) as relay,
    ):
        tab = chromium.open(f"{relay.url}?ui=0", width=width, height=height)
        stripes_behind(tab)
        assert_shows(tab, over(pixels, stripes(height, width)))
        tab.close()


# -- the panel


def test_moving_a_slider_reaches_the_producer(chromium: Chromium, relay: WebRelay, producer: Producer) -> None:
    tab = chromium.open(relay.url, width=900, height=700)
    tab.wait_for("document.getElementById('control-jawOpen') !== null")
    tab.evaluate("document.getElementById('control-jawOpen').focus()")
    for _ in range(3):
        tab.press("ArrowRight")
    eventually(lambda: producer.states and producer.states[-1].controls == {"jawOpen": 0.03})
    tab.wait_for("document.getElementById('reaction').textContent.endsWith('ms')")
    tab.evaluate("document.querySelector('.slider.held button').click()")
    eventually(lambda: producer.states[-1].controls == {})
    assert tab.complaints == []
    tab.close()


def test_a_second_welcome_leaves_the_slider_in_the_hand_that_moves_it(
    chromium: Chromium, relay: WebRelay, producer: Producer
) -> None:
    tab = chromium.open(relay.url, width=900, height=700)
    tab.wait_for("document.getElementById('control-jawOpen') !== null")
    tab.evaluate("document.getElementById('control-jawOpen').focus()")
    tab.evaluate("window.bunraku.client.dispatchEvent(new Event('info'))")
    assert tab.evaluate("document.activeElement.id") == "control-jawOpen"
    tab.press("ArrowRight")
    eventually(lambda: producer.states and producer.states[-1].controls == {"jawOpen": 0.01})
    tab.close()


def test_expressions_and_identities_reach_the_producer(chromium: Chromium, relay: WebRelay, producer: Producer) -> None:
    tab = chromium.open(relay.url, width=900, height=700)
    tab.wait_for("document.querySelector('#expressions button') !== null")
    tab.evaluate("document.querySelector('#expressions button').click()")
    eventually(lambda: producer.states and producer.states[-1].expression == "happy")
    tab.press("1")  # the expression's own key
    eventually(lambda: producer.states[-1].expression == "")
    choose = """(value) => {
        const select = document.getElementById("identity");
        select.value = value;
        select.dispatchEvent(new Event("change"));
    }"""
    tab.evaluate(f"({choose})('name yuki')")
    eventually(lambda: producer.states[-1].identity == "yuki")
    tab.evaluate(f"document.getElementById('seed').value = '4711'; ({choose})('seed')")
    eventually(lambda: producer.states[-1].identity == 4711)
    tab.evaluate("document.getElementById('neutral').click()")
    eventually(lambda: any(state.calibrate for state in producer.states))
    tab.close()


def test_the_picture_alone(chromium: Chromium, relay: WebRelay) -> None:
    tab = chromium.open(f"{relay.url}?ui=0", width=300, height=300)
    tab.wait_for(f"{STATE} === 'LIVE'")
    for part in ("panel", "fold", "notice"):
        assert tab.evaluate(f"getComputedStyle(document.getElementById('{part}')).display") == "none"
    tab.close()


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (400, 800), (320, 480)])
def test_nothing_is_wider_than_the_window(chromium: Chromium, relay: WebRelay, width: int, height: int) -> None:
    tab = chromium.open(relay.url, width=width, height=height)
    tab.wait_for("document.getElementById('control-jawOpen') !== null")
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    assert tab.evaluate("document.getElementById('panel').scrollWidth <= document.getElementById('panel').clientWidth")
    assert tab.evaluate("document.getElementById('picture').getBoundingClientRect().height") >= height * 0.4
    tab.close()


def test_everything_has_a_name_for_those_who_listen(chromium: Chromium, relay: WebRelay) -> None:
    tab = chromium.open(relay.url, width=900, height=700)
    tab.wait_for("document.getElementById('control-jawOpen') !== null")
    tab.call("Accessibility.enable")
    nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "slider", "combobox", "spinbutton", "image", "heading"}
    found = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if "role" in node]
    wanted = [(role, name) for role, name in found if role in roles]
    assert {role for role, _ in wanted} >= {"button", "slider", "image"}
    assert [role for role, name in wanted if not name.strip()] == []
    tab.close()


# -- producers that come and go


def test_a_restarted_producer_is_shown_and_told_again(chromium: Chromium, relay: WebRelay, producer: Producer) -> None:
    frames, control = producer.publisher.endpoint, producer.control.endpoint
    tab = chromium.open(relay.url, width=900, height=700)
    tab.wait_for("document.getElementById('control-jawOpen') !== null")
    tab.evaluate("document.getElementById('control-jawOpen').focus()")
    tab.press("ArrowRight")
    eventually(lambda: producer.states)
    producer.close()
    tab.wait_for(f"{STATE} === 'LOST'")
    assert "comes back" in tab.evaluate("document.getElementById('notice').textContent")
    with Producer(card(), frames=frames, control=control) as again:
        tab.wait_for(f"{STATE} === 'LIVE'")
        eventually(lambda: again.states and again.states[-1].controls == {"jawOpen": 0.01})
    tab.close()


def test_another_version_is_told_from_silence(chromium: Chromium) -> None:
    with (
        TranscriptPlayer([(0, [b"avf2/aki", b"what version 2 says", b""])]) as player,
        WebRelay("127.0.0.1:0", frames_endpoint=player.endpoint) as relay,
    ):
        tab = chromium.open(relay.url, width=600, height=400)
        tab.wait_for(f"{STATE} === 'INCOMPATIBLE'")
        assert "avf/2" in tab.evaluate("document.getElementById('notice').textContent")
        tab.close()


def test_the_npc_of_the_example_speaks_from_a_page_of_its_own(
    chromium: Chromium, producer: Producer, example_server: str
) -> None:
    endpoint = producer.publisher.endpoint
    with WebRelay("127.0.0.1:0", frames_endpoint=endpoint, origins=[example_server]) as relay:
        tab = chromium.open(f"{example_server}/?relay=http://{relay.address}&stream=aki", width=700, height=800)
        eventually(lambda: producer.states and producer.states[-1].controls.get("gazeYaw", 0) > 5)
        tab.evaluate("document.querySelector('#say button').click()")
        eventually(lambda: producer.states[-1].expression == "")
        tab.close()
        said = [state for state in producer.states if state.expression is not None]
        assert {state.expression for state in said} >= {"happy", "relaxed", "surprised", ""}
        assert max(state.controls["oh"] for state in said if "oh" in state.controls) > 0.5
        assert tab.complaints == []
    with WebRelay("127.0.0.1:0", frames_endpoint=endpoint) as stranger:
        tab = chromium.open(f"{example_server}/?relay=http://{stranger.address}", width=700, height=800)
        tab.wait_for(f"document.getElementById('notice').textContent.includes('--web-origin {example_server}')")
        tab.close()


def test_a_page_without_the_token_says_so(chromium: Chromium, producer: Producer) -> None:
    with WebRelay("127.0.0.1:0", frames_endpoint=producer.publisher.endpoint, token="correct-horse-battery") as relay:
        tab = chromium.open(f"http://{relay.address}/", width=600, height=400)
        tab.wait_for("document.getElementById('notice').textContent.includes('token')")
        tab.close()
        tab = chromium.open(relay.url, width=600, height=400)
        tab.wait_for(f"{STATE} === 'LIVE'")
        tab.close()


def test_a_page_that_is_not_seen_lets_the_producer_rest(
    chromium: Chromium, relay: WebRelay, producer: Producer
) -> None:
    tab = chromium.open(f"{relay.url}?ui=0", width=200, height=200)
    tab.wait_for(f"{STATE} === 'LIVE'")
    assert producer.watched
    tab.call("Page.setWebLifecycleState", state="frozen")
    eventually(lambda: not producer.watched)
    tab.call("Page.setWebLifecycleState", state="active")
    eventually(lambda: producer.watched)
    tab.close()
