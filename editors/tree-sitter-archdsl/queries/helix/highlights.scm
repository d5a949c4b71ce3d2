; Written by `make editors` from the words of the compiler.

(comment) @comment

(string) @string
(long_string) @string

(integer) @constant.numeric.integer
(float) @constant.numeric.float

[(true) (false)] @constant.builtin.boolean

["block" "net" "fn" "default" "init"] @keyword.function

["else" "if" "elif" "for" "in" "or" "and" "not" "input" "output" "require"] @keyword.control
(training) @keyword.control

["from" "import"] @keyword.control.import

["!=" "%" "*" "**" "+" "-" "->" "/" "//" "<" "<=" "=" "==" ">" ">="] @operator

["(" ")" "[" "]" "{" "}"] @punctuation.bracket

["," ":" "."] @punctuation.delimiter

(block name: (identifier) @type)
(net name: (identifier) @type)
(alias name: (identifier) @type)

(function name: (identifier) @function)

(import module: (identifier) @namespace)
(import name: (identifier) @type)

(setting name: (identifier) @function.builtin)

(parameter name: (identifier) @variable.parameter)
(keyword name: (identifier) @variable.parameter)

(attribute attribute: (identifier) @variable.other.member)

(label (identifier) @label)

(input name: (identifier) @variable)
(targets (identifier) @variable)

((name (identifier) @function.builtin)
  (#match? @function.builtin "^(abs|adaptive_avgpool|adaptive_maxpool|add|attention|avgpool|bn|cat|ceil|constant|conv|conv_transpose|crop|depthwise|drop_path|dropout|dropout2d|elu|enumerate|exp|filter|flatten|floor|gelu|global_avgpool|global_maxpool|glu|gn|hardsigmoid|hardswish|hardtanh|identity|int|kaiming|leaky_relu|learned|len|linear|ln|log|lrn|matmul|max|maximum|maxpool|maxunpool|mean|min|minimum|mish|mul|normal|ode|ones|pad|pad_channels|pixel_shuffle|pixel_unshuffle|prelu|range|relative_bias|relu|relu6|reshape|reversed|rms_norm|round|scale|shift|shuffle|sigmoid|silu|slice|softmax|softplus|split|sqrt|subsample|sum|tanh|tokens|transpose|trunc_normal|uniform|untokens|upsample|var|xavier|zeros|zip)$"))

((name (identifier) @variable)
  (#not-match? @variable "^(abs|adaptive_avgpool|adaptive_maxpool|add|attention|avgpool|bn|cat|ceil|constant|conv|conv_transpose|crop|depthwise|drop_path|dropout|dropout2d|elu|enumerate|exp|filter|flatten|floor|gelu|global_avgpool|global_maxpool|glu|gn|hardsigmoid|hardswish|hardtanh|identity|int|kaiming|leaky_relu|learned|len|linear|ln|log|lrn|matmul|max|maximum|maxpool|maxunpool|mean|min|minimum|mish|mul|normal|ode|ones|pad|pad_channels|pixel_shuffle|pixel_unshuffle|prelu|range|relative_bias|relu|relu6|reshape|reversed|rms_norm|round|scale|shift|shuffle|sigmoid|silu|slice|softmax|softplus|split|sqrt|subsample|sum|tanh|tokens|transpose|trunc_normal|uniform|untokens|upsample|var|xavier|zeros|zip)$"))
