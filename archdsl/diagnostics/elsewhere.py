"""The words of PyTorch, Keras, NumPy and Python, and what is written here in their place: tables, and edits from them.

A word is looked up as it stands, else without `_`, capitals and a number of dimensions at its end. An edit of a whole
call keeps its meaning: `nn.Conv2d(3, 16, 3)` pads nothing, so here it is `conv(16, 3, pad=0)`.
"""

from __future__ import annotations

import re

from archdsl.core.source import Span
from archdsl.diagnostics import Help

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

CONSTANTS = {"False": "false", "True": "true"}
NAMESPACES = ("nn", "torch", "F", "tf", "keras", "layers", "np", "numpy", "self", "math")

# Operators and functions that only their names tell apart.
OPERATORS = {
    "absolute": "abs", "amax": "max", "amin": "min", "average": "mean", "avg": "mean", "clamp": "hardtanh",
    "clip": "hardtanh", "reducemax": "max", "reducemean": "mean", "reducemin": "min", "reducesum": "sum",
    "variance": "var", "avgpooling": "avgpool", "averagepooling": "avgpool", "batchnorm": "bn", "batchnorm1d": "bn",
    "batchnormalization": "bn", "channelshuffle": "shuffle", "concat": "cat", "concatenate": "cat",
    "convolution": "conv", "convolutional": "conv", "deconv": "conv_transpose",
    "deconvolution": "conv_transpose", "dense": "linear", "depthwiseconv": "depthwise", "fc": "linear",
    "fullyconnected": "linear", "gap": "global_avgpool", "globalaveragepooling": "global_avgpool",
    "globalmaxpooling": "global_maxpool", "groupnorm": "gn", "groupnormalization": "gn", "hsigmoid": "hardsigmoid",
    "hswish": "hardswish", "innerproduct": "linear", "interpolate": "upsample", "layernorm": "ln",
    "layernormalization": "ln", "localresponsenorm": "lrn", "lrelu": "leaky_relu", "maxpooling": "maxpool",
    "multiply": "mul", "pass": "identity", "resize": "upsample", "spatialdropout": "dropout2d",
    "stochasticdepth": "drop_path", "swish": "silu", "upsampling": "upsample", "zeropad": "pad",
    "zeropadding": "pad",
}  # fmt: skip
ARGUMENTS = {
    "axis": "axes", "dim": "axes", "max": "high", "maxval": "high", "min": "low", "minval": "low",
    "alpha": "slope", "ceilmode": "ceil", "countincludepad": "count_pad", "depthmultiplier": "multiplier",
    "dilationrate": "dilation", "dilations": "dilation", "dropprob": "p", "elementwiseaffine": "affine",
    "epsilon": "eps", "filters": "out", "group": "groups", "interpolation": "mode", "kernelsize": "kernel",
    "ksize": "kernel", "negativeslope": "slope", "numclasses": "classes", "numgroups": "groups",
    "outchannels": "out", "outfeatures": "out", "outputpadding": "output_pad", "outputsize": "size",
    "padding": "pad", "poolsize": "kernel", "prob": "p", "rate": "p", "returnindices": "indices",
    "scalefactor": "scale", "strides": "stride", "trackrunningstats": "track", "units": "out",
    "upscalefactor": "factor", "downscalefactor": "factor", "usebias": "bias",
}  # fmt: skip
RUNNING = "the device and the type of the numbers are chosen in Python"
TWO_AXES = "maps are two-dimensional: on one of height 1, `conv(out, (1, 3))` is one-dimensional"
CHANNELS = "input channels are not written; `x.channels` counts them"
PRODUCT = "`matmul(a, b)` multiplies tokens `[N, L, K]` and `[N, K, M]`, and `transpose` exchanges the last two axes"
ATTENTION = (
    "`qkv: linear(3 * x.channels) -> attention(heads=8)`, or `attention(q: linear(64), k: linear(64), v: linear(64))`"
)
NO_EFFECT = "a file has no effects; `archdsl check --shapes` prints every layer"
NO_OPERATOR = (
    "this language has no such operator; functions of one element are `abs`, `exp`, `log`, `sqrt`, `softplus` ..."
)
ORDER = "`tokens` makes `[N, H*W, C]` of a map, `untokens(like=map)` undoes it, `transpose` exchanges the last two axes"
NO_CLASS = "a network is `net name:`, a piece of one `block name:`, and a body is its steps"
NO_SEQUENCE = "networks here see images: nothing runs along a sequence, and tokens are the places of a map"
NOTHING_CHANGES = "nothing changes a tensor, so no copy is needed: leave it out"
RESHAPED = "`flatten` makes `[N, F]` of maps, `reshape(channels, height, width)` maps of features"
NAMES = {  # what is written where no operator has the meaning
    **dict.fromkeys(("permute", "movedim", "moveaxis", "swapaxes", "rearrange"), ORDER),
    **dict.fromkeys(("view", "viewas", "reshapeas", "unflatten"), RESHAPED),
    **dict.fromkeys(("squeeze",), "`flatten` makes `[N, C]` of `[N, C, 1, 1]`"),
    **dict.fromkeys(("unsqueeze", "expanddims"), "`reshape(x.channels, 1, 1)` makes `[N, C, 1, 1]` of `[N, C]`"),
    **dict.fromkeys(("stack", "hstack", "vstack"), "`cat(a, b)` joins along the channels"),
    **dict.fromkeys(("bmm", "mm", "einsum", "dot"), PRODUCT),
    **dict.fromkeys(("multiheadattention", "selfattention", "scaleddotproductattention", "mha"), ATTENTION),
    **dict.fromkeys(("windowpartition", "unfold"), "`tokens(window=7)` cuts a map into windows"),
    **dict.fromkeys(("windowreverse", "fold"), "`untokens(window=7, like=map)` puts windows together again"),
    **dict.fromkeys(("sub", "subtract", "minus"), "it is written `a - b`"),
    **dict.fromkeys(("div", "divide", "truediv"), "it is written `a / b`"),
    **dict.fromkeys(("neg", "negative"), "it is written `-x`"),
    **dict.fromkeys(("pow", "power", "square"), "it is written `x**2`"),
    **dict.fromkeys(("rsqrt",), "it is written `1 / (x -> sqrt)`"),
    **dict.fromkeys(("reciprocal",), "it is written `1 / x`"),
    **dict.fromkeys(("std",), '`var("channels") -> sqrt`'),
    **dict.fromkeys(("logsoftmax",), "`softmax -> log`"),
    **dict.fromkeys(("softmin",), "`scale(-1) -> softmax`"),
    **dict.fromkeys(("softsign",), "it is written `x / ((x -> abs) + 1)`"),
    **dict.fromkeys(
        ("l2norm", "vectornorm", "l2normalize"), '`x**2 -> sum("channels") -> sqrt` is the length of a vector'
    ),
    **dict.fromkeys(("print", "assert", "breakpoint"), NO_EFFECT),
    **dict.fromkeys(
        "celu selu erf sin cos".split(),
        NO_OPERATOR,
    ),
    **dict.fromkeys(("sequential", "modulelist"), "`[conv(8, 3), relu]` is a sequence, `conv(8, 3) -> relu` a chain"),
    **dict.fromkeys(
        ("parameter", "variable", "registerbuffer"),
        "a learned tensor is a step: `add(identity, position: learned([64, 14, 14], init=trunc_normal(0.02)))`",
    ),
    **dict.fromkeys(("module", "model", "super", "object"), NO_CLASS),
    **dict.fromkeys(
        ("input", "inputlayer", "inputs", "placeholder"), "a net declares `input image: [N, 3, H=224, W=224]`"
    ),
    **dict.fromkeys(("separableconv",), "`depthwise(3) -> conv(out, 1)` is a separable convolution"),
    **dict.fromkeys(("pointwise", "pointwiseconv"), "`conv(out, 1)` is a pointwise convolution"),
    **dict.fromkeys(("conv1d", "conv3d", "maxpool1d", "maxpool3d", "avgpool1d", "avgpool3d", "batchnorm3d"), TWO_AXES),
    **dict.fromkeys(("instancenorm", "instancenormalization"), "`gn(x.channels, affine=false)` is an instance norm"),
    **dict.fromkeys(("upsamplingbilinear", "bilinear"), '`upsample(2, mode="bilinear")`'),
    **dict.fromkeys(("upsamplingnearest", "nearest"), "`upsample(2)`"),
    **dict.fromkeys(("clone", "detach", "contiguous", "copy"), NOTHING_CHANGES),
    **dict.fromkeys(("device", "dtype", "to", "cuda", "cpu", "half", "float", "float32", "float16"), RUNNING),
    **dict.fromkeys(("keepdim", "keepdims"), "axes stay, with size 1, and `flatten` drops them"),
    **dict.fromkeys(("lstm", "gru", "rnn", "embedding", "tokenizer"), NO_SEQUENCE),
    "training": "`dropout` and `bn` know it themselves; a result of training alone is `output aux = x when training`",
    **dict.fromkeys(("tuple", "list", "append"), "a list is written `[a, b]`; `+` joins two"),
    **dict.fromkeys(("inchannels", "inplanes", "infeatures", "inchans"), CHANNELS),
    **dict.fromkeys(("outchannels",), "a parameter stands in the first line: `block b(out_channels):`"),
    **dict.fromkeys(("numclasses", "nclasses"), "a net declares its parameters: `net n(num_classes=10):`"),
    **dict.fromkeys(("adaptiveaveragepooling",), "`adaptive_avgpool(7)` for a 7x7 map"),
}
UNSAID = {  # arguments that are left out, with the reason
    "inplace": "the compiler decides what is done in place",
    **dict.fromkeys(
        ("inchannels", "infeatures", "numfeatures", "numchannels", "normalizedshape", "inputshape"), CHANNELS
    ),
    **dict.fromkeys(("dim", "axis", "startdim", "enddim"), "without a word of its own it is the channels"),
    **dict.fromkeys(("keepdim", "keepdims"), NAMES["keepdims"]),
    **dict.fromkeys(("device", "dtype"), RUNNING),
    "dataformat": "maps are always `[N, C, H, W]`",
}
SAID_OTHERWISE = {  # arguments for which something else is written
    "activation": "an activation is a step of its own: `conv(8, 3) -> relu`",
    "act": "an activation is a step of its own: `conv(8, 3) -> relu`",
    "norm": "a norm is a step of its own: `conv(8, 3, bias=false) -> bn`",
    "paddingmode": 'padding that repeats the map is a step before: `pad(1, mode="reflect") -> conv(8, 3, pad=0)`',
    "kernelinitializer": "`init=kaiming`, or `init conv(kaiming)` for the whole file",
    "biasinitializer": "`bias_init=zeros`, or `init conv(bias=zeros)` for the whole file",
    "name": "a label names a step: `stem: conv(8, 3)`",
    "numclasses": "the classes are the last layer's features: `linear(10)`; a net's parameter is `net n(classes=10):`",
    "gamma": "`affine=false` leaves scale and shift out",
    "scale": "`affine=false` leaves scale and shift out",
    "center": "`affine=false` leaves scale and shift out",
    "pretrained": 'weights are a file: `archdsl.load("resnet50", weights="resnet50.safetensors")`',
}
AXES = ("batch", "channels", "height", "width")
ATTRIBUTES = {
    **dict.fromkeys(("shape", "size", "dim", "ndim"), "sizes are `x.channels`, `x.height` and `x.width`"),
    **dict.fromkeys(("view", "reshape", "flatten"), "steps are joined: `x -> flatten`, `x -> reshape(8, 4, 4)`"),
    **{word: NAMES[word] for word in ("permute", "squeeze", "unsqueeze", "clone", "detach")},
    **{word: NAMES[word] for word in ("contiguous", "to", "cuda", "device", "dtype", "half")},
    "transpose": "steps are joined: `x -> transpose`",
    "matmul": "`matmul(x, y)`",
    **{word: NAMES[word] for word in ("pow", "square", "sub", "div", "neg", "std")},
    **{word: f'steps are joined: `x -> {word}("channels")`' for word in ("mean", "sum", "max", "min", "var")},
    "in_channels": "`x.channels`",
    "out_channels": "`x.channels`, behind the step",
}
OF_PYTHON = {  # arguments of `load` that are none of the net
    "device": 'the device is said in Python: `archdsl.load("resnet50").to("cuda")`, or `with torch.device("meta"):`',
    "dtype": 'the type is said in Python: `archdsl.load("resnet50").half()`',
    **dict.fromkeys(("pretrained", "weights_path", "checkpoint", "progress"), SAID_OTHERWISE["pretrained"]),
    **dict.fromkeys(
        ("in_channels", "in_chans", "channels"), "`--input 1x1x224x224` has one channel, and `in_channels=1` in Python"
    ),
    **dict.fromkeys(
        ("image_size", "img_size", "input_size"), "`--input 1x3x224x224`; a network accepts every legal size"
    ),
}
NOT_CONVOLUTIONAL = ("swin", "beit", "bert", "gpt", "clip", "maxvit", "cait", "xcit", "llama")

# What stands before a token on its line, how it starts, what helps, and an edit of the line: a pattern and its text.
SYNTAX: tuple[tuple[str, ...], ...] = (
    (r"^\s*else\s+", "if", "`elif` is one word", r"else\s+if", "elif"),
    (r"^\s*(elseif|elsif)\s+", "", "here it is `elif`", r"(elseif|elsif)\s+", "elif "),
    (r"^\s*(if|elif|require)\b.*[^=]", "=(?!=)", "`==` compares; `=` binds a name, on a line of its own",
     "(?<![=!<>])=(?![=])", "=="),
    (r"^\s*assert\s+", "", 'a requirement has a message: `require width % 8 == 0, "odd width"`'),
    (r"^\s*x\s*[-+*/]", "=", "`x + y` is a step: what comes after it takes the sum",
     r"x\s*([-+*/])=\s*(\w+)$", r"x \1 \2"),
    (r"(-|\+|\*|/|%)", "=", "each name has one meaning: bind a new name to the result"),
    (r"\+", r"\+", "each name has one meaning: bind a new name to the result"),
    (r"->\s*", "$", "a chain goes on in the next line if that starts with `->`"),
    (r"(>|\||=|-)", ">", "steps are joined by `->`", r"(?<![->=|])(>>|=>|-->|\|>)", "->"),
    (r"^block\b.*:\s*", r"\[", "a signature stands before the colon: `block b(c) [N, C, H, W] -> [N, c, H, W]:`"),
    (r"^from\s+", r"[./]", "an import names a file beside this one, or of the gallery, without its folder and suffix"),
    (r"^\s*output\s*", "=", "a result has a name: `output features = x`"),
    (r"^\s*require\b.*", "$", 'a requirement has a message: `require width % 8 == 0, "odd width"`'),
    (r"^\s*(if|for|in|else|elif|and|or|not|when|true|false|net|block|fn|from|import|input)\s*", "=",
     "this is a word of the language; choose another name"),
    (r"^\s*(return|yield)\s+", "", "a body returns what its last line makes; `output name = x` adds results"),
    (r"^(\s*import|\s+from)\s+", "",
     "operators are known without an import; `from resnet50 import basic` stands at the margin"),
    (r"^\s*class\s+", "", NO_CLASS),
    (r"^\s*def\s+", "", "a piece of a network is `block name(c):`, a function on numbers `fn half(c) = c // 2`"),
    (r"^\s*while\s+", "", "loops have an end: `for i in range(3):`"),
    (r"^\s*(try|with|del|global|async|raise)\b.*", "", "this is not Python: see `for`, `block`, `net`, `fn`, `from`"),
    (r".*\[.*\bfor\b.*\bin\b.*", r"for\b",
     "a list has one `for`; under `cat:` and `add:` one stands inside the other, each on a line"),
    (r"\S\s+", r"is\b", "`==` compares", r"\bis(?!\s+not\b)", "=="),
    (r"\S\s+", r"not\s+in\b", "`not` stands before the whole test: `not 3 in [1, 2]`"),
    (r"[<>]=?\s*[^<>]+\s*", r"[<>]", "a size is compared with one other: join the tests by `and`"),
    (r"(^|[=(,\[]\s*)", r"\{", "there are no dictionaries: a list of pairs, and `for name, value in pairs:`"),
    (r"^\s*[A-Za-z_]\w*([-.]\w+)+\s*", ":", "a label is one name, such as `conv_1`"),
    (r"^\s*\d+\s*", ":", "steps without a label have numbers already; a label starts with a letter"),
    (r"^\s*\w+\(.*\)\s*", ",", "steps are joined by `->`, or stand in brackets: `[conv(8, 3), relu]`"),
    (r"\blambda\s+", "",
     "a function has a line of its own: `fn half(c) = c // 2`; a step needs none: `f = conv(8, 3)`"),
    (r"^\s*self\.\w+\s*", "=", "a label names a module: `conv1: conv(64, 3)`"),
    (r"^\s*\w[\w\s,]*", ",", "each name has its line: `a = left`, then `b = right`"),
    (r"^\s*[(\[][\w\s,]+[)\]]\s*", "=", "each name has its line: `a = r.left`, then `b = r.right`"),
    (r"^\s*(let|var|const|val|auto)\s+", "", "a name is bound by `=` alone",
     r"(let|var|const|val|auto)\s+(?=\w+\s*=)", ""),
    (r"^\s*\w+\s*:\s*\w+\s*", "=", "values have no types: `width = 3`", r":\s*\w+\s*(?==)", " "),
    (r"^\s*/?", r"//|\*", "`#` starts a comment", r"^(\s*)//", r"\1#"),
    (r"\w\[[^\]]*:[^\]]*", ":", "a slice has no step: `[depths[i] for i in range(0, 4, 2)]`"),
    (r"\b[fr]", '"', "texts are plain; a name may hold a value: `layer{i}`"),
    (r"^\s*[a-z_]\w*\s+", r"[\d\"\[]", "a call has its values in parentheses: `conv(64, 3)`"),
    (r"(^\s+|->\s*|:\s*)[a-z_]\w*(\([^()]*\))?\s+", r"[a-z_]\w*\b(?!\s*=)", "steps are joined: `conv(64, 3) -> relu`"),
    (r"\bin\s+\d+\.?", r"\.", "`range(3)` counts from 0 to 2"),
    (r"[(\[,][^()\[\]]*[\w\"]\s+", r"[\w\"\[(]", "values are separated by commas"),
)  # fmt: skip
SURE = {"elif", "elif ", "==", "#\\1", "->"}  # replacements that cannot mean anything else
MOST = 200  # characters of a line that are looked at: the time of some patterns grows with their square
WORDS = {  # what starts an item of Python, at the margin
    "def": "a piece of a network is `block name(c):`, a function on numbers `fn half(c) = c // 2`",
    "class": NO_CLASS,
    "import": "operators are known without an import; `from resnet50 import basic` takes a block of another file",
    "while": "loops have an end: `for i in range(3):`",
    "return": "a body returns what its last line makes; `output name = x` adds results",
    "lambda": "a function has a line of its own: `fn half(c) = c // 2`",
}
CHARACTERS = {
    "'": "strings are written in double quotes",
    ";": "each step has its own line, or is chained to the one before by `->`",
    "!": "`not` negates a condition, `!=` compares",
    "&": "conditions are joined by `and`",
    "|": "conditions are joined by `or`, steps by `->`",
    "^": "`**` is the power",
    "?": "a choice is `relu if deep else silu`",
    "@": PRODUCT,
    "`": "strings are written in double quotes",
    "\\": "a line goes on inside brackets, or where the next one starts with `->`",
}


def plain(word: str) -> str:
    """Return a word without what spellings differ in: `AvgPool2d` and `avg_pool2d` are `avgpool`."""
    return word.replace("_", "").lower().removesuffix("2d")


def renamed(word: str, candidates: Collection[str]) -> str:
    """Return the candidate that a word of elsewhere means, or nothing."""
    full, short = word.replace("_", "").lower(), plain(word)
    same = {candidate.replace("_", ""): candidate for candidate in candidates}
    for found in (OPERATORS.get(full), ARGUMENTS.get(full), OPERATORS.get(short), ARGUMENTS.get(short)):
        if found in candidates:
            return found or ""
    return same.get(full) or same.get(short) or ""


# -------------------------------------------------------------------------------------------------- texts of calls
def parts_of(text: str) -> list[str]:
    """Return the pieces of a text between its outermost commas."""
    found, depth, start = [], 0, 0
    for at, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            found.append(text[start:at].strip())
            start = at + 1
    return [part for part in [*found, text[start:].strip()] if part]


def end_of(text: str, at: int) -> int:
    """Return where the value that starts at a place ends: before a comma, a bracket that closes, or the line's end."""
    depth = 0
    for place in range(at, len(text)):
        character = text[place]
        depth += (character in "([{") - (character in ")]}")
        if depth < 0 or character == "\n" or (character == "," and depth == 0):
            return place
    return len(text)


def call_at(text: str, at: int) -> int:
    """Return where the call ends whose name, perhaps with dots, starts at a place; 0 where none is on its line."""
    head = re.compile(r"[\w.]+\(").match(text, at)
    if head is None:
        return 0
    depth = 1
    for place in range(head.end(), min(len(text), head.end() + MOST)):
        character = text[place]
        depth += (character in "([{") - (character in ")]}")
        if character == "\n":
            return 0
        if depth == 0:
            return place + 1
    return 0


TORCH = {  # classes whose first numbers are sizes of their input, which are not written here: where those stand
    "Conv2d": 0, "ConvTranspose2d": 0, "Linear": 0, "BatchNorm2d": 0, "BatchNorm1d": 0, "LayerNorm": 0, "RMSNorm": 0,
    "GroupNorm": 1,
}  # fmt: skip
PADS_NOTHING = ("Conv2d", "Conv2D")
WHOLE = {"AdaptiveAvgPool2d": "global_avgpool", "AdaptiveMaxPool2d": "global_maxpool"}  # if their size is 1


SIGNS = {"sub": "-", "subtract": "-", "div": "/", "divide": "/", "truediv": "/", "pow": "**", "power": "**"}
REDUCTIONS = ("mean", "sum", "max", "min", "var")
EVERY = ('"channels"', '"height"', '"width"')
DIMS = {"1": "channels", "2": "height", "3": "width", "-1": "width", "-2": "height", "-3": "channels"}


def _reduced(name: str, values: list[str]) -> str:
    """Return a reduction over axes that have numbers: `mean((2, 3), keepdim=True)` is over height and width."""
    numbers = [value.partition("=")[2] or value for value in values if "keepdim" not in value]
    found = [f'"{DIMS[one]}"' for one in re.findall(r"-?\d", numbers[0] if numbers else "") if one in DIMS]
    axes = found[0] if len(found) == 1 else f"[{', '.join(found or EVERY)}]"
    return f"{name}({axes})"


def translated(text: str, operators: Collection[str]) -> str:
    """Return a call of PyTorch or Keras as it is written here; nothing where that is not known."""
    text = text.strip()
    found = re.fullmatch(r"((?:\w+\.)*)(\w+)\((.*)\)", text)
    if found is None or call_at(text, 0) != len(text):
        return CONSTANTS.get(text, text)
    space, word, inside = found.groups()
    if any(name not in (*NAMESPACES, "functional") for name in space.split(".")[:-1]):
        return ""
    if word == "Sequential":
        steps = [translated(part, operators) for part in parts_of(inside)]
        return f"[{', '.join(steps)}]" if all(steps) else ""
    if word in WHOLE and inside.replace(" ", "") in ("1", "(1,1)", "output_size=1", "output_size=(1,1)"):
        return WHOLE[word]
    if word in ("AdaptiveAvgPool2d", "AdaptiveMaxPool2d"):
        return f"{renamed(word, operators)}({inside.partition('=')[2] or inside})"
    name = word if word in operators else renamed(word, operators)
    values = parts_of(inside)
    if space and plain(word) in SIGNS and len(values) == 2:
        left, right = [value if re.fullmatch(r"[\w.]+", value) else f"({value})" for value in values]
        return f"{left} {SIGNS[plain(word)]} {right}"
    if not name:
        return ""
    if name in REDUCTIONS and space and values:
        return f"{values[0]} -> {_reduced(name, values[1:])}"
    if name in ("cat", "add", "mul", "maximum", "minimum"):
        first = values[0] if values else ""
        branches = parts_of(first[1:-1]) if first[:1] in ("[", "(") else values
        return f"{name}({', '.join(branches)})" if branches else ""
    if space and word[:1].islower() and values:  # a function of a tensor
        called = _call(name, word, values[1:])
        return f"{values[0]} -> {'flatten' if name == 'flatten' else called}"
    return _call(name, word, values)


def _call(name: str, word: str, values: list[str]) -> str:
    """Return a call with its arguments as they are written here."""
    given = []
    counted = sum("=" not in value for value in values)
    drops = counted > 1 or "out_" in "".join(values) or name in ("bn", "ln", "rms_norm")
    for number, value in enumerate(values):
        key, equals, right = value.partition("=") if re.match(r"\w+\s*=(?!=)", value) else ("", "", value)
        key, right = key.strip(), right.strip()
        if number == TORCH.get(word) and not equals and drops:
            continue
        if right == "None" or (equals and plain(key) in UNSAID) or right.strip("\"'") == "same":
            continue
        right = "0" if right.strip("\"'") == "valid" else CONSTANTS.get(right, right)
        given.append(f"{ARGUMENTS.get(plain(key), key)}={right}" if equals else right)
    padded = any("pad" in value for value in values) or counted > 4
    if word in PADS_NOTHING and not padded and not any(value in ("1", "kernel=1") for value in given[1:2]):
        given.append("pad=0")
    return f"{name}({', '.join(given)})" if given else name


# -------------------------------------------------------------------------------------------------- proposals
def of_name(span: Span, name: str, candidates: Collection[str]) -> list[Help]:
    """Return what is written for an unknown name, where it is a word of elsewhere."""
    if name in CONSTANTS:
        return [Help(f"it is written `{CONSTANTS[name]}`", span, CONSTANTS[name])]
    if name == "None":
        return [without(span, "leave the argument out: its default stands")]
    text, end = span.source.text, call_at(span.source.text, span.start)
    there = text[span.start : end]
    call = translated(there, candidates) if end and (there[:1].isupper() or name in NAMESPACES) else ""
    if call and call not in (there, name):
        return [Help(f"here it is `{call}`", span.replace(end=end), call, sure=False)]
    if name in NAMESPACES:
        last = re.compile(r"(?:\w+\.)*(\w+)").match(text, span.start)
        meant = NAMES.get(plain(last.group(1))) if last else None
        return [Help(meant or "operators stand alone: `conv(64, 3) -> bn -> relu`")]
    full = name.replace("_", "").lower()
    if full in NAMES and full not in map(plain, candidates):
        return [Help(NAMES[full])]
    here = renamed(name, candidates)
    if here:
        return [Help(f"here it is `{here}`", span, here, sure=not end or text[span.end : end] == "()")]
    return [Help(NAMES[plain(name)])] if plain(name) in NAMES else []


def of_argument(span: Span, callee: str, name: str, candidates: Collection[str]) -> list[Help]:
    """Return what is written for an unknown argument, where it is a word of elsewhere."""
    text, word = span.source.text, plain(name)
    end = end_of(text, span.end)
    value = text[span.end : end].partition("=")[2].strip("\"' ")
    if word == "padding" and "pad" in candidates and value in ("same", "valid"):
        return of_padding(span.replace(end=end), callee, value)
    if callee == "cat" and word in ("dim", "axis") and value in DIMS and DIMS[value] != "channels":
        edit = f'axis="{DIMS[value]}"'
        return [Help(f"here it is `{edit}`", span.replace(end=end), edit, sure=False)]
    here = renamed(name, candidates)
    if here:
        return [Help(f"here it is `{here}`", span, here)]
    if word in UNSAID:
        return [without(span, f"leave it out: {UNSAID[word]}", sure=word == "inplace")]
    return [Help(SAID_OTHERWISE[word])] if word in SAID_OTHERWISE else []


def of_axes(span: Span) -> list[Help]:
    """Return the names of axes that are given by numbers: `mean((2, 3))`."""
    found = [f'"{DIMS[one]}"' for one in re.findall(r"-?\d+", span.text) if one in DIMS]
    if not found or len(set(found)) < len(found):
        return [Help('axes have names: `mean("channels")`, `mean(["height", "width"])`')]
    edit = found[0] if len(found) == 1 else f"[{', '.join(found)}]"
    return [Help(f"axes have names: here it is `{edit}`", span, edit, sure=False)]


def of_padding(span: Span, callee: str, word: str) -> list[Help]:
    """Return what is written for an argument that pads as a word says: `padding="same"`."""
    if callee in ("conv", "depthwise", "maxpool"):
        return [Help(f'here it is `pad="{word}"`', span, f'pad="{word}"')]
    if word == "valid":
        return [Help("here it is `pad=0`", span, "pad=0")]
    return [Help("padding is a number here: `pad=1` around a window of 3 keeps the size at stride 1")]


def of_attribute(span: Span, name: str) -> list[Help]:
    """Return what is written for an unknown attribute, where it is a word of elsewhere."""
    index = re.compile(r"(?:shape\[|size\(|shape\()\s*(-?\d)\s*[\])]").match(span.source.text, span.start)
    if index is not None and -4 <= int(index.group(1)) < 4:
        axis = AXES[int(index.group(1))]
        return [Help(f"here it is `{axis}`", span.replace(end=index.end()), axis)]
    if name in ATTRIBUTES:
        return [Help(ATTRIBUTES[name])]
    called = span.source.text.startswith("(", span.end)
    if name in ("append", "extend", "insert"):
        return [Help("a list is written whole: bind `y{i} = x` in the loop, and then `[y{i} for i in range(3)]`")]
    return [Help(f"nothing has methods; steps are joined: `x -> {name}`")] if called else []


PIPELINES = ("the operator", "the block", "the net", "a pipeline", "a list")  # as they are described


def of_operands(span: Span, sign: str, left: str, right: str) -> list[Help]:
    """Return what is written for a sign beside a pipeline, or one that tensors do not have; sides are described."""
    if sign == "**":
        return [Help("an exponent is a number: `a**2`; `log(2) * x -> exp` is 2 to the power of x")]
    if "tensor" in left and "tensor" in right:
        return [Help("tensors are joined by `a + b`, `a - b`, `a * b` and `a / b`")]
    if "the size" in left + right:
        return [Help("a size changes with the input: `sum` and `mean` count along an axis")]
    edit = _edit(span.text, sign, left, right) if span.text.count("(") == span.text.count(")") else ""
    if edit:
        return _written(span, edit)
    if "tensor" in left + right:
        return [Help("beside a tensor stands another, or a number: `a + b`, `2 * a`, `1 - a`, `a / 2`, `a**2`")]
    return [Help("a step is scaled by the next one: `conv(8, 3) -> scale(0.5)`, and `shift(1)` adds a number")]


def _edit(text: str, sign: str, left: str, right: str) -> str:
    """Return a sign beside a pipeline as it is written, where it can be."""
    parts = _operands(text, sign)
    behind = "number" in left
    if behind or "number" in right:
        pipeline, number = parts[::-1] if behind else parts
        return "" if "tensor" in left + right else _with_number(pipeline, sign, number, behind)
    if not all("tensor" in side or side.startswith(PIPELINES) for side in (left, right)):
        return ""
    if sign in "+*":
        return f"{'add' if sign == '+' else 'mul'}({', '.join(parts)})"
    sides = [part if "tensor" in side else f"(x -> {part})" for part, side in zip(parts, (left, right))]
    return f" {sign} ".join(sides) if sign in ("-", "/") else ""


def _with_number(pipeline: str, sign: str, number: str, behind: bool) -> str:
    """Return the step that does to what a pipeline returns what a sign beside a number says."""
    tight = number if number.replace(".", "").isalnum() else f"({number})"
    steps = {"+": f"shift({number})", "*": f"scale({number})", "-": f"shift(-{tight})", "/": f"scale(1 / {tight})"}
    if behind:
        steps |= {"-": f"scale(-1) -> shift({number})", "/": ""}
    step = steps.get(sign, "")
    return f"{pipeline} -> {step}" if step else ""


def _written(span: Span, edit: str) -> list[Help]:
    return [Help(f"it is written `{edit}`", span, edit, sure=False)] if "\n" not in span.text else [Help(f"`{edit}`")]


def _operands(text: str, sign: str) -> tuple[str, str]:
    """Return the texts around the last sign of its kind that is in no brackets."""
    depth = 0
    for at in range(len(text) - len(sign), 0, -1):
        depth += (text[at] in ")]}") - (text[at] in "([{")
        if depth == 0 and text.startswith(sign, at) and text[at + 1 : at + 2] != ">":
            return text[:at].strip(), text[at + len(sign) :].strip()
    return text, text


def too_many(span: Span, callee: str) -> list[Help]:
    """Return what is written for arguments that nothing takes: `max(a, b)` of tensors, or `relu(x)`."""
    return [Help(f"of tensors it is `{callee}imum(a, b)`")] if callee in ("max", "min") else applied(span)


def applied(span: Span) -> list[Help]:
    """Return `x -> relu` for `relu(x)`, of which `x` is given."""
    text = span.source.text
    before = re.compile(r"[\w.]*(?:\([^()\n]*\))?\($")
    line = text.rfind("\n", 0, span.start) + 1
    head = before.search(text[max(line, span.start - MOST) : span.start])
    helped = "what a step is applied to stands before it: `x -> relu`"
    if head is None or not head.group()[:-1] or text[span.end : span.end + 1] != ")" or "\n" in span.text:
        return [Help(helped)]
    start, callee = span.start - len(head.group()), head.group()[:-1]
    edit = f"{span.text} -> {callee}"
    return [
        Help(
            f"what a step is applied to stands before it: `{edit}`",
            Span(span.source, start, span.end + 1),
            edit,
            sure=False,
        )
    ]


def without(span: Span, text: str, sure: bool = False) -> Help:
    """Return the proposal to leave out the argument that a place is in, by its name or its value."""
    source = span.source.text
    name = re.search(r"\w+\s*=\s*$", source[max(0, span.start - MOST) : span.start])
    start, end = span.start - (len(name.group()) if name else 0), end_of(source, span.end)
    comma = re.search(r",[ \t]*$", source[max(0, start - MOST) : start])
    behind = re.compile(r",[ \t]*").match(source, end)
    if comma is not None:
        start -= len(comma.group())
    elif behind is not None:
        end = behind.end()
    closed = comma is not None or source[start - 1 : start] == "("
    if source[start - 1 : start] == "(" and source[end : end + 1] == ")":
        start, end = start - 1, end + 1
    return Help(text, Span(span.source, start, end), "", sure) if closed else Help(text)


def of_syntax(place: Span) -> Help | None:
    """Return what is written where a text is no sentence, by what stands on its line before the place and after."""
    line, at = place.source.line(place.line), place.column - 1
    before, rest = line[max(0, at - MOST) : at], line[at : at + MOST]
    if at > MOST:
        before = "\0" + before  # which is no start of a line
    for seen, start, text, *edit in SYNTAX:
        if re.match(start, rest) and re.search(f"(?:{seen})$", before):
            known = next(_edits(place, line, at, *edit), None) if edit and len(line) < MOST else None
            return known.replace(text=text) if known is not None else Help(text)
    return None


def _edits(place: Span, line: str, at: int, pattern: str, new: str) -> Iterator[Help]:
    for found in re.finditer(pattern, line):
        if found.start() <= at <= found.end():
            start = place.start - at + found.start()
            span = Span(place.source, start, start + len(found.group()))
            yield Help("", span, found.expand(new), new in SURE)
