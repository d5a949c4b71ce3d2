"""What training takes of torchvision, which has to be asked for here: `archdsl.run.vision` says why."""

from archdsl.run.vision import declared

declared()

from torchvision import __version__ as __version__  # noqa: E402
from torchvision.transforms import v2 as v2  # noqa: E402
