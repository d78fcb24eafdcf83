"""Key bindings: one table, used by the window and shown as its help."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import pygame


class Action(Enum):
    """What a key can trigger."""

    EXPRESSION = auto()
    RESET = auto()
    CALIBRATE = auto()
    FOLLOW = auto()
    DICE = auto()
    BACKGROUND = auto()
    FIT = auto()
    SCREENSHOT = auto()
    RECORD = auto()
    PANEL = auto()
    HUD = auto()
    HELP = auto()
    LARGER = auto()
    SMALLER = auto()
    QUIT = auto()


@dataclass(frozen=True, slots=True)
class Binding:
    """One line of the help.

    Attributes:
        label: what to press, as displayed.
        text: what happens then.
        action: None for a gesture of the mouse, which the window handles itself.
        keys: pygame key numbers; any of them will do.
        control: whether Ctrl (Cmd on a Mac) is held.
    """

    label: str
    text: str
    action: Action | None = None
    keys: tuple[int, ...] = ()
    control: bool = False


BINDINGS: Final[tuple[Binding, ...]] = (
    Binding("Drag", "look and turn towards the pointer; let go to ease back"),
    Binding("Wheel", "zoom the picture"),
    Binding("Right drag", "move the picture"),
    Binding("Double-click", "on a slider: back to rest"),
    Binding("1 - 9", "expression; press again for none", Action.EXPRESSION, tuple(range(pygame.K_1, pygame.K_9 + 1))),
    Binding("M", "follow the mouse without a button", Action.FOLLOW, (pygame.K_m,)),
    Binding("C", "calibrate: take your pose as neutral", Action.CALIBRATE, (pygame.K_c,)),
    Binding("D", "dice: draw a new identity", Action.DICE, (pygame.K_d,)),
    Binding("Backspace", "reset all controls", Action.RESET, (pygame.K_BACKSPACE,)),
    Binding("B", "next background", Action.BACKGROUND, (pygame.K_b,)),
    Binding("Z", "fit the picture again", Action.FIT, (pygame.K_z,)),
    Binding("S", "save a PNG with alpha", Action.SCREENSHOT, (pygame.K_s,)),
    Binding("R", "start and stop recording", Action.RECORD, (pygame.K_r,)),
    Binding("Tab", "hide or show the panel", Action.PANEL, (pygame.K_TAB,)),
    Binding("F2", "all figures, none, or a short line", Action.HUD, (pygame.K_F2,)),
    Binding("Ctrl +", "larger text", Action.LARGER, (pygame.K_PLUS, pygame.K_EQUALS, pygame.K_KP_PLUS), control=True),
    Binding("Ctrl -", "smaller text", Action.SMALLER, (pygame.K_MINUS, pygame.K_KP_MINUS), control=True),
    Binding("H  F1", "this help", Action.HELP, (pygame.K_h, pygame.K_F1)),
    Binding("Esc", "quit", Action.QUIT, (pygame.K_ESCAPE,)),
)


def action_of(key: int, modifiers: int) -> Action | None:
    """Return what a key asks for, or None.

    Args:
        key: pygame key number.
        modifiers: pygame modifier bits, as in a key event's `mod`.
    """
    control = bool(modifiers & (pygame.KMOD_CTRL | pygame.KMOD_META))
    return next((binding.action for binding in BINDINGS if key in binding.keys and binding.control == control), None)
