"""Where the transitions of the Atari example come from: a game, or a short recording of one.

Both go on by `step`, and then show their screen in one of two ways: `draw` writes it straight into
an array of the caller's, `screen` returns an array that is never written again.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import ale_py
import gymnasium
import numpy as np
from numpy.typing import NDArray

RECORDED_STEPS = 64  # 6.5 MB of frames an actor: more than a processor's inner caches hold.


class Step(NamedTuple):
    """What a step brings beside the screen."""

    action: int
    reward: float
    done: bool
    info: dict[str, int]  # The game's own counters: lives, frame_number, episode_frame_number.


class Source(Protocol):
    """A game or a recording."""

    def __init__(self, env_id: str, seed: int) -> None: ...
    def step(self) -> Step: ...
    def draw(self, out: NDArray[np.uint8]) -> None: ...
    def screen(self) -> NDArray[np.uint8]: ...


class Game(Source):
    """A game of the Arcade Learning Environment, played at random."""

    def __init__(self, env_id: str, seed: int) -> None:
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # Else every actor has a banner.
        gymnasium.register_envs(ale_py)
        if gymnasium.spec(env_id).entry_point != "ale_py.env:AtariEnv":
            raise gymnasium.error.Error("not an Atari game, try one of ALE/...")
        # As observation the console's memory, 128 bytes that nobody looks at: the screen is drawn
        # only once, to where it shall be.
        self.env = gymnasium.make(env_id, obs_type="ram")
        self.ale = self.env.unwrapped.ale
        self.env.action_space.seed(seed)
        self.env.reset(seed=seed)
        self.over = False

    def step(self) -> Step:
        if self.over:
            self.env.reset()
        action = self.env.action_space.sample()
        _, reward, terminated, truncated, info = self.env.step(action)
        self.over = terminated or truncated
        return Step(int(action), float(reward), self.over, info)

    def draw(self, out: NDArray[np.uint8]) -> None:
        self.ale.getScreenRGB(out)

    def screen(self) -> NDArray[np.uint8]:
        screen: NDArray[np.uint8] = self.ale.getScreenRGB()
        return screen


class Recording(Source):
    """The first steps of a game, again and again: they cost next to nothing."""

    def __init__(self, env_id: str, seed: int) -> None:
        game = Game(env_id, seed)
        self.recorded = [(game.step(), game.screen()) for _ in range(RECORDED_STEPS)]
        self.position = -1

    def step(self) -> Step:
        self.position = (self.position + 1) % RECORDED_STEPS
        return self.recorded[self.position][0]

    def draw(self, out: NDArray[np.uint8]) -> None:
        out[...] = self.screen()

    def screen(self) -> NDArray[np.uint8]:
        return self.recorded[self.position][1]
