"""What is told of a run while it goes on: a bar with rate and end, a line an epoch, TensorBoard where it is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archdsl.diagnostics.extras import Needing

if TYPE_CHECKING:
    from archdsl.training.recipe import Recipe


class Reporter:
    """Tells of steps and epochs; a process that is not the first is `silent`."""

    def __init__(self, recipe: Recipe, steps: int, start: int, folder: str = "", *, silent: bool = False) -> None:
        with Needing("training"):
            from tqdm import tqdm
        self.recipe, self.silent, self.done = recipe, silent, start
        whole, so_far = recipe.epochs * steps * recipe.batch, start * recipe.batch
        # Without a terminal there is no bar: `disable=None`.
        shown = True if silent else None
        self.bar = tqdm(total=whole, initial=so_far, unit=" images", unit_scale=True, disable=shown, leave=False)
        self.board: Any = None
        if folder:
            with Needing("`tensorboard`"):
                import tensorboard  # noqa: F401 - whose absence torch tells in other words
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(folder, purge_step=start + 1 if start else None)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        if not self.silent:
            self.bar.write(text)

    def step(self, step: int) -> None:
        """Move the bar on."""
        self.bar.update((step - self.done) * self.recipe.batch)
        self.done = step

    def loss(self, step: int, lr: float, loss: float) -> None:
        """Tell of one step."""
        self.bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
        if self.board is not None:
            self.board.add_scalar("train/loss", loss, step)
            self.board.add_scalar("train/lr", lr, step)

    def epoch(self, row: dict[str, Any]) -> None:
        """Tell of an epoch."""
        self.say(
            f"epoch {row['epoch']} of {self.recipe.epochs}: loss {row['loss']:.4f}; "
            f"held out {row['accuracy']:.2%} right, loss {row['held_out_loss']:.4f}; "
            f"{row['images_per_second']:.0f} images/s"
        )
        if self.board is not None:
            self.board.add_scalar("held out/accuracy", row["accuracy"], row["step"])
            self.board.add_scalar("held out/loss", row["held_out_loss"], row["step"])
            self.board.flush()

    def close(self) -> None:
        """End the bar."""
        self.bar.close()
        if self.board is not None:
            self.board.close()
