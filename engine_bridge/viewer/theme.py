"""The window's look: colours, fonts and sizes."""

from __future__ import annotations

import io
import os
import sys
from importlib.resources import files
from typing import Any, Final

import pygame

BASE: Final = (16, 18, 23)
PANEL: Final = (24, 27, 33)
RAISED: Final = (38, 43, 52)
HOVERED: Final = (50, 56, 68)
LINE: Final = (54, 60, 72)
TEXT: Final = (232, 235, 241)
DIM: Final = (156, 165, 180)
FAINT: Final = (126, 135, 152)
ACCENT: Final = (255, 138, 101)
ACCENT_HOVERED: Final = (255, 160, 128)
ON_ACCENT: Final = (36, 16, 10)
GOOD: Final = (120, 214, 146)
WARN: Final = (255, 205, 105)
BAD: Final = (255, 112, 112)

SCALES: Final = (0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0)


def font(size_px: float, *, bold: bool = False, mono: bool = False) -> pygame.font.Font:
    """Open one of the fonts that come with the widget library.

    Args:
        size_px: already scaled.
        bold: heavier strokes; there is no bold monospaced font.
        mono: all digits equally wide, for figures that change.
    """
    name = "FiraCode-Regular.ttf" if mono else "NotoSans-Bold.ttf" if bold else "NotoSans-Regular.ttf"
    data = files("pygame_gui").joinpath("data").joinpath(name).read_bytes()
    return pygame.font.Font(io.BytesIO(data), max(6, round(size_px)))


def rounded(size: tuple[int, int], radius: int, colour: tuple[int, int, int], opacity: int) -> pygame.Surface:
    """Make a filled box with smooth round corners.

    Args:
        size: pixels.
        radius: of the corners, pixels.
        colour: RGB.
        opacity: 0..255.
    """
    times = 4
    mask = pygame.Surface((size[0] * times, size[1] * times), pygame.SRCALPHA)
    mask.fill((*colour, 0))
    pygame.draw.rect(mask, (*colour, opacity), mask.get_rect(), border_radius=radius * times)
    return pygame.transform.smoothscale(mask, size)


def detect_scale() -> float:
    """Estimate the text scale from the desktop; 1.0 is a common monitor of 96 dots per inch.

    Asks GDK_SCALE and QT_SCALE_FACTOR, then Windows, then the height of the desktop in pixels: macOS and Wayland
    report that height in their own scaled units, which is 1.0 again.
    """
    told = os.environ.get("GDK_SCALE") or os.environ.get("QT_SCALE_FACTOR") or ""
    if told.replace(".", "", 1).isdecimal():
        return nearest_scale(float(told))
    if sys.platform == "win32":
        import ctypes

        return nearest_scale(ctypes.windll.user32.GetDpiForSystem() / 96.0)
    height = max((size[1] for size in pygame.display.get_desktop_sizes()), default=0)
    return nearest_scale(max(1.0, height // 540 / 2))


def nearest_scale(scale: float) -> float:
    """Return the nearest step of `SCALES`."""
    return min(SCALES, key=lambda step: abs(step - scale))


def widget_theme(scale: float) -> dict[str, Any]:
    """Return the theme of the widget library for a scale."""

    def px(size: float) -> str:
        return str(max(1, round(size * scale)))

    text = {"name": "noto_sans", "size": px(13)}
    bold = {**text, "bold": "1"}
    symbols = {"name": "fira_code_symbols", "size": px(10)}
    flat = {"shape": "rounded_rectangle", "border_width": "0", "shadow_width": "0", "shape_corner_radius": px(5)}
    clear = "#00000000"
    heading = {
        "normal_bg": clear, "hovered_bg": clear, "active_bg": clear, "selected_bg": clear, "disabled_bg": clear,
        "normal_text": _hex(TEXT), "hovered_text": _hex(ACCENT_HOVERED), "active_text": _hex(ACCENT),
    }  # fmt: skip
    return {
        "defaults": {
            "colours": {
                "normal_bg": _hex(RAISED), "hovered_bg": _hex(HOVERED), "active_bg": _hex(HOVERED),
                "selected_bg": _hex(ACCENT), "disabled_bg": _hex(PANEL), "dark_bg": _hex(PANEL),
                "disabled_dark_bg": _hex(PANEL),
                "normal_text": _hex(TEXT), "hovered_text": _hex(TEXT), "active_text": _hex(TEXT),
                "selected_text": _hex(ON_ACCENT), "disabled_text": _hex(FAINT), "text_cursor": _hex(ACCENT),
                "normal_border": _hex(LINE), "hovered_border": _hex(LINE), "active_border": _hex(ACCENT),
                "selected_border": _hex(ACCENT), "disabled_border": _hex(PANEL),
                "selected_bg_hovered": _hex(ACCENT_HOVERED),
            },
            "font": text,
        },
        "button": {"font": text, "misc": {**flat, "text_horiz_alignment_padding": px(4)}},
        "@heading": {
            "colours": heading,
            "font": bold,
            "misc": {**flat, "text_horiz_alignment": "left", "text_horiz_alignment_padding": px(2)},
        },
        "@heading_held": {
            "colours": {**heading, "normal_text": _hex(ACCENT)},
            "font": bold,
            "misc": {**flat, "text_horiz_alignment": "left", "text_horiz_alignment_padding": px(2)},
        },
        "@arrow": {"colours": {**heading, "normal_text": _hex(FAINT)}, "font": symbols, "misc": flat},
        "@quiet": {
            "colours": {**heading, "normal_text": _hex(FAINT)},
            "font": {**text, "size": px(15)},
            "misc": {**flat, "text_horiz_alignment_padding": "0"},
        },
        "@title": {"font": {**bold, "size": px(18)}, "misc": {"text_horiz_alignment": "left"}},
        "@name": {
            "colours": {"normal_text": _hex(DIM)},
            "font": {**text, "size": px(12)},
            "misc": {"text_horiz_alignment": "left"},
        },
        "@value": {
            "colours": {"normal_text": _hex(FAINT)},
            "font": {**text, "size": px(12)},
            "misc": {"text_horiz_alignment": "right"},
        },
        "@held": {
            "colours": {"normal_text": _hex(ACCENT)},
            "font": {**text, "size": px(12)},
            "misc": {"text_horiz_alignment": "right"},
        },
        "horizontal_slider": {
            "colours": {"dark_bg": _hex(BASE), "normal_border": _hex(LINE)},
            "misc": {**flat, "enable_arrow_buttons": "0", "sliding_button_width": px(14), "shape_corner_radius": px(7)},
        },
        "horizontal_slider.#sliding_button": {
            "colours": {"normal_bg": _hex(FAINT), "hovered_bg": _hex(DIM), "active_bg": _hex(ACCENT_HOVERED)},
            "misc": {**flat, "shape_corner_radius": px(7)},
        },
        "text_entry_line": {
            "font": text,
            "colours": {
                "dark_bg": _hex(BASE), "normal_border": _hex(LINE),
                "selected_bg": _hex(HOVERED), "selected_text": _hex(TEXT),
            },
            "misc": {**flat, "border_width": "1", "padding": f"{px(6)},{px(3)}"},
        },
        "selection_list": {
            "colours": {"dark_bg": _hex(BASE), "normal_border": _hex(LINE)},
            "misc": {**flat, "border_width": "1", "list_item_height": px(26)},
        },
        "selection_list.button": {
            "colours": {"normal_bg": _hex(BASE)},
            "font": text,
            "misc": {**flat, "text_horiz_alignment": "left", "text_horiz_alignment_padding": px(8)},
        },
        # The library's scroll bar is always 20 pixels wide; a border of the panel's colour slims it.
        "vertical_scroll_bar": {
            "colours": {"dark_bg": _hex(PANEL), "normal_border": _hex(PANEL)},
            "misc": {"shape": "rectangle", "shadow_width": "0", "border_width": "6", "enable_arrow_buttons": "0"},
        },
        "vertical_scroll_bar.#sliding_button": {
            "colours": {"normal_bg": _hex(HOVERED), "hovered_bg": _hex(FAINT), "active_bg": _hex(FAINT)},
            "misc": {**flat, "shape_corner_radius": "4"},
        },
        "panel": {"colours": {"dark_bg": _hex(PANEL)}, "misc": {"border_width": "0", "shadow_width": "0"}},
    }  # fmt: skip


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
