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
    "conv2dtranspose": "conv_transpose", "convolution": "conv", "convolutional": "conv", "deconv": "conv_transpose",
    "deconvolution": "conv_transpose", "dense": "linear", "depthwiseconv": "depthwise",
    "dwconv": "depthwise",
    "blur": "filter", "blurpool": "filter", "blurpool2d": "filter", "sobel": "filter", "fc": "linear",
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
SHIFTED = "`attention(q, k, v, window=7, shift=3)` attends within windows of a map that are moved, as Swin does"
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
    **dict.fromkeys(
        ("chunk", "tensorsplit"),
        "`split(relu, identity)` gives each branch a part of the channels, `slice(0, 8)` takes one",
    ),
    **dict.fromkeys(("bmm", "mm", "einsum", "dot"), PRODUCT),
    **dict.fromkeys(("multiheadattention", "selfattention", "scaleddotproductattention", "mha"), ATTENTION),
    **dict.fromkeys(("windowpartition", "unfold"), "`tokens(window=7)` cuts a map into windows"),
    **dict.fromkeys(("roll", "shiftedwindowattention", "windowattention"), SHIFTED),
    **dict.fromkeys(
        ("focus", "patchmerging"),
        "`cat(*[subsample(2, offset=at) for at in [(0, 0), (1, 0), (0, 1), (1, 1)]])` merges patches of 2x2 places",
    ),
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
    **dict.fromkeys(("channels", "inchannels", "inplanes", "infeatures", "inchans"), CHANNELS),
    **dict.fromkeys(("outchannels",), "a parameter stands in the first line: `block b(out_channels):`"),
    **dict.fromkeys(("numclasses", "nclasses"), "a net declares its parameters: `net n(num_classes=10):`"),
    **dict.fromkeys(("adaptiveaveragepooling",), "`adaptive_avgpool(7)` for a 7x7 map"),
}
NAMED_AXES = 'axes have names: `mean("channels")`, `mean(["height", "width"])`'
NOT_CERTAIN = {  # what is said of a call of another library that has no one form here
    "softmax": 'an axis has a name: `softmax(axis="height")`; without one it is the channels',
    "cat": 'an axis has a name: `cat(a, b, axis="height")`; without one it is the channels',
    "glu": "`glu` halves the channels, and no other axis",
    **dict.fromkeys(("mean", "sum", "max", "min"), NAMED_AXES),
    "var": "`var` divides by the count, as `correction=0` does",
    "flatten": RESHAPED,
    "ln": "`ln` is over the channels; `gn(1)` is over all of a map",
    "pad": "`pad((1, 1, 0, 0))` is left, right, top and bottom",
    **dict.fromkeys(
        ("adaptive_avgpool", "adaptive_maxpool"), 'over one axis alone it is `mean("width")` or `max("width")`'
    ),
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
    "indices": "positions are a second result: `r = x -> maxpool(2, indices=true)`, and then `r.indices`",
    "matmul": "`matmul(x, y)`",
    **{word: NAMES[word] for word in ("pow", "square", "sub", "div", "neg", "std")},
    **{word: f'steps are joined: `x -> {word}("channels")`' for word in ("mean", "sum", "max", "min", "var")},
    "in_channels": "`x.channels`",
    "out_channels": "`x.channels`, after the step",
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
    (r"[\w)\]]\s*", "=>", "steps are joined by `->`", r"(?<![->=|])=>", "->"),
    (r"^\s*\w+\[[^\]]*\]\s*", "=(?!=)", "a name with a number in it is written in braces: `skip{i} = x`"),
    (r"^\s*input\s*", ":", "an input has a name: `input image: [N, 3, H=224, W=224]`"),
    (r"^\s*output\s+\w+\s*", "$|:", "a result has a name: `output features = x`"),
    (r"^\s*output\s*", r"\(", "a result has a name: `output features = x`"),
    (r"^(block|net|fn)\b.*[(,]\s*\w+\s*", ":", "parameters have no types: `block b(width=8):`"),
    (r"\w\[[^\]]*:[^\]]*", ",", 'a part of a tensor is a step: `x -> slice(0, 8)`, `x -> slice(0, 8, axis="height")`'),
    (r"^block\b.*:\s*", r"\[", "a signature stands before the colon: `block b(c) [N, C, H, W] -> [N, c, H, W]:`"),
    (r"^from\s+\w+\s+import\s+", r"\*", "an import names what it takes: `from resnet50 import basic, bottleneck`"),
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
    (r"^\s*(if|elif)\b.*:.*\S\s+", r"else\b", "on one line it is `relu if deep else silu`"),
    (r".*\[.*\bfor\b.*\bin\b.*", r"for\b",
     "a list has one `for`; under `cat:` and `add:` one stands inside the other, each on a line"),
    (r"\w\((?:[^()]|\([^()]*\))*\S\s+", r"for\b", "a list of branches is spread: `cat(*[conv(w, 1) for w in widths])`"),
    (r"^\s*[^\[=]*[\w)\]]\s+", r"for\b", "a loop stands before what it repeats: `for w in widths: conv(w, 3)`"),
    (r"\S\s+", r"is\b", "`==` compares", r"\bis(?!\s+not\b)", "=="),
    (r"\S\s+", r"not\s+in\b", "`not` stands before the whole test: `not 3 in [1, 2]`"),
    (r"[<>]=?\s*[^<>]+\s*", r"[<>]", "a size is compared with one other: join the tests by `and`"),
    (r"(^|[=(,\[]\s*)", r"\{", "there are no dictionaries: a list of pairs, and `for name, value in pairs:`"),
    (r"^\s*[A-Za-z_][\w.]*\.", r"\d[\w.]*\s*:",
     "a sequence numbers its steps: in `layer: [conv(8, 3), relu]` the first one is 0"),
    (r"^\s*[A-Za-z_]\w*([-.]\w+)+\s*", ":", "a label is one name, such as `conv_1`"),
    (r'^\s*("[^"]*"|\w+\[[^\]]*\])\s*', ":", "a label is one name, such as `conv_1`; `layer{i}` has a number in it"),
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
    (r"^\s*(for\b.*\bin|if|elif)\b.*[\w)\]]\s+", r"[a-z_]\w*", "a colon stands before the body: `if deep: relu`"),
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
ORDERS = {  # whose arguments stand in another order: their names here, without those sizes
    "MaxPool2d": ("kernel", "stride", "pad", "dilation", "indices", "ceil"),
    "ConvTranspose2d": ("out", "kernel", "stride", "pad", "output_pad", "groups", "bias", "dilation"),
    **dict.fromkeys(("Upsample", "interpolate"), ("size", "scale", "mode", "align_corners")),
}
PADS_NOTHING = ("Conv2d", "Conv2D", "DepthwiseConv2D")
PADS_BY_A_WORD = ("conv", "depthwise", "maxpool")
WHOLE = {"AdaptiveAvgPool2d": "global_avgpool", "AdaptiveMaxPool2d": "global_maxpool"}  # if their size is 1
OF_KERAS = {  # what stands where nothing is given, or after it
    "MaxPooling2D": "maxpool(2)", "AveragePooling2D": "avgpool(2)", "UpSampling2D": "upsample(2)",
    "GlobalAveragePooling2D": "global_avgpool -> flatten", "GlobalMaxPooling2D": "global_maxpool -> flatten",
}  # fmt: skip


SIGNS = {"sub": "-", "subtract": "-", "div": "/", "divide": "/", "truediv": "/", "pow": "**", "power": "**"}
REDUCTIONS = ("mean", "sum", "max", "min", "var")
ALONG = {"softmax": "", "glu": "-1"}  # operators along an axis, with the number that PyTorch has where none is given
DIMS = {"1": "channels", "2": "height", "3": "width", "-1": "width", "-2": "height", "-3": "channels"}
# Compiled when they are asked for: that takes 0.3 ms, and a check that finds no mistake does without.
TOKENS = r"\btokens\b|\binput\s+\w+\s*:\s*\[[^,\]\n]+,[^,\]\n]+,[^,\]\n]+\]"
FEATURES = r"\b(flatten|linear)\b|\binput\s+\w+\s*:\s*\[[^,\]\n]+,[^,\]\n]+\]"


def axis_of(number: str, around: str) -> str:
    """Return the name of the axis that has a number, where that is certain in the text around.

    With tokens in it, axis 1 is theirs or the channels; with features, the last axis is the width or the channels.
    """
    several = re.search(TOKENS, around) or (number.startswith("-") and re.search(FEATURES, around))
    return "" if several else DIMS.get(number, "")


def axes_of(numbers: str, around: str) -> str:
    """Return the names of axes as an argument: `"width"`, or a list of them; nothing where one is not certain."""
    found = [axis_of(number, around) for number in re.findall(r"-?\d+", numbers)]
    if not found or not all(found) or len(set(found)) < len(found):
        return ""
    names = ", ".join([f'"{name}"' for name in found])
    return f"[{names}]" if len(found) > 1 else names


def translated(text: str, operators: Collection[str], around: str = "") -> str:
    """Return a call of PyTorch or Keras as it is written here; nothing where that is not known.

    What stands `around` it in the file tells whether the numbers of axes have one meaning.
    """
    text = text.strip()
    found = re.fullmatch(r"((?:\w+\.)*)(\w+)\((.*)\)", text)
    if found is None or call_at(text, 0) != len(text):
        return CONSTANTS.get(text, text)
    space, word, inside = found.groups()
    if any(name not in (*NAMESPACES, "functional") for name in space.split(".")[:-1]):
        return ""
    if word == "Sequential":
        steps = [translated(part, operators, around) for part in parts_of(inside)]
        return f"[{', '.join(steps)}]" if all(steps) else ""
    if word in OF_KERAS and (not inside or word.startswith("Global")):
        return "" if "keepdims" in inside else OF_KERAS[word]
    if word in WHOLE and inside.replace(" ", "") in ("1", "(1,1)", "output_size=1", "output_size=(1,1)"):
        return WHOLE[word]
    name, values = word if word in operators else renamed(word, operators), parts_of(inside)
    if word in ("AdaptiveAvgPool2d", "AdaptiveMaxPool2d"):
        return "" if "None" in inside else f"{name}({inside.partition('=')[2] or inside})"
    if space and plain(word) in SIGNS and len(values) == 2:
        left, right = [value if re.fullmatch(r"[\w.]+", value) else f"({value})" for value in values]
        return f"{left} {SIGNS[plain(word)]} {right}"
    if not name:
        return ""
    if name in REDUCTIONS and space and values:
        return _reduced(name, values, around)
    if name in ("cat", "add", "mul", "maximum", "minimum"):
        return _joined(name, values, around if space else None)
    if space and word[:1].islower() and values:  # a function of a tensor
        called = _function(name, word, values[1:], around)
        return called and f"{values[0]} -> {called}"
    return _activated(name, word, values, operators, around)


def _activated(name: str, word: str, values: list[str], operators: Collection[str], around: str) -> str:
    """Return a layer, and as a step after it the activation that Keras gives it by a word."""
    said = [value.partition("=")[2].strip(" \"'") for value in values if re.match(r"activation\s*=", value)]
    layer = _class(name, word, [value for value in values if not re.match(r"activation\s*=", value)], around)
    if not layer or not said or said[0] in ("linear", "None"):
        return layer
    step = said[0] if said[0] in operators else renamed(said[0], operators)
    return step and f"{layer} -> {step}"


def _reduced(name: str, values: list[str], around: str) -> str:
    """Return a reduction over axes that have numbers: `mean((2, 3), keepdim=True)` is over height and width."""
    tensor, *others = values
    said = [value for value in others if not re.match(r"(keepdim|correction|unbiased)|(True|False)$", value)]
    if name in ("max", "min") and said and re.fullmatch(r"[A-Za-z]\w*", said[0]):
        return f"{name}imum({tensor}, {said[0]})"
    if name == "var" and not any(value.replace(" ", "") in ("correction=0", "unbiased=False") for value in others):
        return ""  # PyTorch divides by one less than the count
    axes = axes_of(said[0].rpartition("=")[2], around) if said else ""
    kept = any(re.match(r"keepdims?\s*=\s*True|True$", value) for value in others)
    flat = " -> flatten" if axes == '["height", "width"]' and not kept else ""
    return f"{tensor} -> {name}({axes}){flat}" if axes else ""


def _joined(name: str, values: list[str], around: str | None) -> str:
    """Return a combinator: of `torch.cat([a, b], 1)` the axis has a number, without which it is the batch."""
    first = values[0] if values else ""
    if first[:1] not in ("[", "("):
        return f"{name}({', '.join(values)})" if values else ""
    branches = parts_of(first[1:-1])
    if name == "cat" and around is not None:
        axis = axis_of(values[1].rpartition("=")[2].strip() if len(values) > 1 else "0", around)
        if not axis:
            return ""
        branches += [f'axis="{axis}"'] if axis != "channels" else []
    return f"{name}({', '.join(branches)})" if branches else ""


def _function(name: str, word: str, values: list[str], around: str) -> str:
    """Return a function of a tensor, without the tensor: `F.pad(x, (1, 1))` pads the width."""
    if name == "flatten":
        return "flatten" if [value.rpartition("=")[2].strip() for value in values] == ["1"] else ""
    if name == "hardtanh" and word != "hardtanh":
        given = dict(zip(("min", "max"), [value for value in values if "=" not in value]))
        given |= {key.strip(): right.strip() for key, equals, right in (v.partition("=") for v in values) if equals}
        if given == {"min": "0"}:
            return "relu"
        low, high = given.get("min", "-1e38"), given.get("max", "1e38")
        return f"hardtanh({low}, {high})" if given else ""
    if name == "pad":
        sides = parts_of(values[0][1:-1]) if values and values[0][:1] in ("(", "[") else []
        if len(sides) not in (2, 4):
            return ""
        values = [f"({', '.join(sides if len(sides) == 4 else [*sides, '0', '0'])})", *values[1:]]
    return _class(name, word, values, around)


def _class(name: str, word: str, values: list[str], around: str) -> str:
    """Return a layer with its arguments, where they can be said: along an axis by its name, padding by a word."""
    if name in ALONG:
        number = values[0].rpartition("=")[2].strip() if values else ALONG[name]
        axis = axis_of(number, around) if number else "channels"
        if axis == "channels":
            return name
        return f'{name}(axis="{axis}")' if axis and name == "softmax" else ""
    if name == "flatten":
        return name if [value.rpartition("=")[2].strip() for value in values] in ([], ["1"]) else ""
    if name == "prelu":
        count = values[0].rpartition("=")[2].strip() if values else "1"
        return "" if len(values) > 1 else name if count == "1" else f"{name}(per_channel=true)"
    if word == "LayerNorm" and values and len(parts_of(values[0].strip("[]()"))) > 1:
        return ""  # over several axes
    if _same(values) and name not in PADS_BY_A_WORD:
        return ""
    return _call(name, word, values)


def _same(values: list[str]) -> bool:
    return any(value.rpartition("=")[2].strip("\"' ") == "same" for value in values)


def _call(name: str, word: str, values: list[str]) -> str:
    """Return a call with its arguments as they are written here."""
    given: list[str] = []
    counted = sum("=" not in value for value in values)
    drops = counted > 1 or "out_" in "".join(values) or name in ("bn", "ln", "rms_norm")
    order, place = ORDERS.get(word, ()), 0
    for number, value in enumerate(values):
        key, equals, right = value.partition("=") if re.match(r"\w+\s*=(?!=)", value) else ("", "", value)
        key, right = key.strip(), right.strip()
        if number == TORCH.get(word) and not equals and drops:
            continue
        place += not equals
        if right == "None" or (equals and plain(key) in UNSAID):
            continue
        right = "0" if right.strip("\"'") == "valid" else CONSTANTS.get(right, right)
        named = ARGUMENTS.get(plain(key), key) if equals else order[place - 1] if place > _alike(order) else ""
        given.append(f"{named}={right}" if named else right)
    if _same(values) and _keeps(given):
        given = [value for value in given if value.rpartition("=")[2].strip("\"'") != "same"]
    padded = any("pad" in value for value in values) or counted > 4
    window = given[:1] if name == "depthwise" else given[1:2]
    if word in PADS_NOTHING and not padded and window not in (["1"], ["kernel=1"]):
        given.append("pad=0")
    return f"{name}({', '.join(given)})" if given else name


def _alike(order: tuple[str, ...]) -> int:
    """Return how many arguments that are not named stand at the same places here; all where the order is this one."""
    here = {"size": 0, "out": 5, "kernel": 4}  # of `upsample`, `conv_transpose` and `maxpool`
    return here[order[0]] if order else MOST


def _keeps(given: list[str]) -> bool:
    """Say whether a convolution keeps the size without a word for it: at stride 1, with an odd window."""
    sizes = [value for value in given if re.fullmatch(r"(kernel=)?(\d+|\([\d, ]+\))", value)][-1:]
    odd = all(int(size) % 2 for size in re.findall(r"\d+", "".join(sizes)))
    return bool(sizes) and odd and not any(value.startswith("stride") for value in given)


def fitting(span: Span, edit: str) -> str:
    """Return an edit as it stands in its place: in parentheses where a sign or a label beside it would bind tighter."""
    text = span.source.text
    before = text[text.rfind("\n", 0, span.start) + 1 : span.start].rstrip()
    behind = text[span.end : span.end + MOST].partition("\n")[0].lstrip()
    free = re.search(r"(^|->|[(,\[]|(?<![=!<>])=)$", before) and re.match(r"$|#|->|[),\]]", behind)
    return edit if free or not re.search(r" (->|[-+*/]|\*\*) ", edit) else f"({edit})"


# -------------------------------------------------------------------------------------------------- proposals
def of_name(span: Span, name: str, candidates: Collection[str]) -> list[Help]:
    """Return what is written for an unknown name, where it is a word of elsewhere."""
    if name in CONSTANTS:
        return [Help(f"it is written `{CONSTANTS[name]}`", span, CONSTANTS[name])]
    if name == "None":
        return [_of_none(span)]
    text, end = span.source.text, call_at(span.source.text, span.start)
    there = text[span.start : end]
    call = translated(there, candidates, text) if end and (there[:1].isupper() or name in NAMESPACES) else ""
    if call and call not in (there, name):
        place = span.replace(end=end)
        return [Help(f"here it is `{call}`", place, fitting(place, call), sure=False)]
    if name in NAMESPACES:
        last = re.compile(r"(?:\w+\.)*(\w+)").match(text, span.start)
        word = last.group(1) if last else ""
        meant = NAMES.get(plain(word)) or NOT_CERTAIN.get(word if word in candidates else renamed(word, candidates))
        return [Help(meant or "operators stand alone: `conv(64, 3) -> bn -> relu`")]
    full = name.replace("_", "").lower()
    if full in NAMES and full not in map(plain, candidates):
        return [Help(NAMES[full])]
    here = renamed(name, candidates)
    if here:
        return [Help(f"here it is `{here}`", span, here, sure=not end or text[span.end : end] == "()")]
    return [Help(NAMES[plain(name)])] if plain(name) in NAMES else _commented(span)


def _commented(span: Span) -> list[Help]:
    """Return how a comment starts here, for a word after `//` that is no divisor: after a call, or before a word."""
    line, at = span.source.line(span.line), span.column - 1
    sign = re.search(r"(?<=[)\]])\s+(//)\s*$", line[max(0, at - MOST) : at])
    if sign is None:
        return []
    start = span.start - len(sign.group()) + sign.start(1) - sign.start()
    return [Help("`#` starts a comment", span.replace(start=start, end=start + 2), "#", sure=False)]


def _of_none(span: Span) -> Help:
    """Return what is written for `None`: an argument of an operator is left out, a step that may be missing is not."""
    key = re.search(r"(\w+)\s*=\s*$", span.source.text[max(0, span.start - MOST) : span.start])
    if key and key.group(1) in ARGUMENTS.values():
        return without(span, "leave the argument out: its default stands")
    return Help("`identity` is a step that does nothing, and an argument that is left out has its default")


def of_argument(span: Span, callee: str, name: str, candidates: Collection[str]) -> list[Help]:
    """Return what is written for an unknown argument, where it is a word of elsewhere."""
    text, word = span.source.text, plain(name)
    end = end_of(text, span.end)
    value = text[span.end : end].partition("=")[2].strip("\"' ")
    if word == "padding" and "pad" in candidates and value in ("same", "valid"):
        return of_padding(span.replace(end=end), callee, value)
    if callee in ("cat", *ALONG) and word in ("dim", "axis"):
        return _along(span.replace(end=end), callee, axis_of(value, text))
    here = renamed(name, candidates)
    if here:
        return [Help(f"here it is `{here}`", span, here)]
    if word in UNSAID:
        return [without(span, f"leave it out: {UNSAID[word]}", sure=word == "inplace")]
    return [Help(SAID_OTHERWISE[word])] if word in SAID_OTHERWISE else []


def _along(place: Span, callee: str, axis: str) -> list[Help]:
    """Return what is written for the number of an axis, where that has one meaning."""
    if axis == "channels":
        return [without(place, f"leave it out: {UNSAID['axis']}")]
    if callee == "glu":
        return [Help("`glu` halves the channels, and no other axis")]
    if not axis:
        return [Help(f'an axis has a name: `axis="tokens"`, `axis="height"`; {UNSAID["axis"]}')]
    edit = f'axis="{axis}"'
    return [Help(f"here it is `{edit}`", place, edit, sure=False)]


def of_size(span: Span, name: str) -> Help:
    """Return `like=skip` for a tensor in the place of a size: `size=skip`, or `skip` alone."""
    before = re.search(rf"\b{name}\s*=\s*$", span.source.text[max(0, span.start - MOST) : span.start])
    place = span.replace(start=span.start - len(before.group())) if before else span
    edit = f"like={span.text}"
    return Help(f"the size of a tensor is taken by `{edit}`", place, edit, sure=False)


def of_axes(span: Span, callee: str) -> list[Help]:
    """Return the names of axes that are given by numbers: `mean((2, 3))`."""
    edit = axes_of(span.text, span.source.text)
    if not edit:
        return [Help(NOT_CERTAIN.get(callee, NAMED_AXES))]
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
    if sign == "*" and re.fullmatch(r"the number \d+", left) and right.startswith(PIPELINES):
        number, step = _operands(span.text, sign)
        return [Help(f"`{step} * {number}` repeats a step, `{step} -> scale({number})` multiplies what it returns")]
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
    if "\n" in span.text:
        return [Help(f"`{edit}`")]
    return [Help(f"it is written `{edit}`", span, fitting(span, edit), sure=False)]


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
    place, callee = Span(span.source, span.start - len(head.group()), span.end + 1), head.group()[:-1]
    edit = f"{span.text} -> {callee}"
    text = f"what a step is applied to stands before it: `{edit}`"
    return [Help(text, place, fitting(place, edit), sure=False)]


def as_step(span: Span) -> list[Help]:
    """Return what is written for a value in the place of a step, where it is known what was meant."""
    text = span.source.text[max(0, span.start - MOST) : span.start]
    if span.text.startswith('"'):
        return [Help('a docstring stands in three quotes: """text"""')]
    return [Help(ATTENTION)] if re.search(r"\battention\(\s*$", text) else []


def called(span: Span) -> list[Help]:
    """Return `x -> body` for `body(x)`, where `body` is a pipeline; the place is its name."""
    end = call_at(span.source.text, span.start)
    inside = span.source.text[span.end + 1 : end - 1]
    if not end or not re.fullmatch(r"[\w.{}]+", inside):
        return [Help("what a step is applied to stands before it: `x -> relu`")]
    place, edit = span.replace(end=end), f"{inside} -> {span.text}"
    text = f"what a step is applied to stands before it: `{edit}`"
    return [Help(text, place, fitting(place, edit), sure=False)]


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
    if place.source.name.startswith("--set ") and rest[:1] == ",":
        return Help("a list is in brackets: `[2, 2, 3]`")
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
