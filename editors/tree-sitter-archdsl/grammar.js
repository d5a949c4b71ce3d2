// The syntax of `.arch` files for tree-sitter: rule by rule that of `grammars/archdsl.lark`. Words that are keywords only
// where an item or a statement starts are names elsewhere, since a keyword is taken only where it may stand.

const listed = (rule) => seq(rule, repeat(seq(",", rule)));
const trailed = (rule) => seq(listed(rule), optional(","));

module.exports = grammar({
  name: "archdsl",
  word: ($) => $.identifier,
  extras: ($) => [/[ \t\r\n]/, /\\\n/, $.comment],
  // Line structure comes from the scanner, which counts brackets, since a line goes on in them. It never makes `_start`:
  // where that may stand an item or a statement may, so that a line may be blank.
  externals: ($) => [$._newline, $._indent, $._dedent, $._start, "(", "[", "{", ")", "]", "}"],
  inline: ($) => [$._simple],

  rules: {
    file: ($) => seq(optional($.docstring), repeat($._item)),

    // ------------------------------------------------------------ a file
    _item: ($) => choice($.import, $.default, $.init, $.function, $.block, $.net, $.alias, $._start),
    docstring: ($) => seq($.long_string, $._newline),
    import: ($) =>
      seq("from", field("module", $.identifier), "import", listed(field("name", $.identifier)), $._newline),
    default: ($) => seq("default", listed($.setting), $._newline),
    init: ($) => seq("init", listed($.setting), $._newline),
    setting: ($) => seq(field("name", $.identifier), $.arguments),
    function: ($) =>
      seq("fn", field("name", $.identifier), $.parameters, "=", field("value", $._expression), $._newline),
    block: ($) =>
      seq("block", field("name", $.identifier), optional($.parameters), optional($.signature), ":", field("body", $.body)),
    net: ($) => seq("net", field("name", $.identifier), optional($.parameters), ":", field("body", $.body)),
    alias: ($) => seq("net", field("name", $.identifier), "=", field("value", $._expression), $._newline),

    parameters: ($) => seq("(", optional(trailed($.parameter)), ")"),
    parameter: ($) => seq(field("name", $.identifier), optional(seq("=", field("default", $._expression)))),
    signature: ($) => seq($.dimensions, "->", $.dimensions),
    dimensions: ($) => seq("[", listed($._expression), "]"),

    // ------------------------------------------------------------ statements
    body: ($) => seq($._newline, $._indent, optional($.docstring), repeat1($._statement), $._dedent),
    _suite: ($) => choice(alias($.suite, $.body), $._simple),
    suite: ($) => seq($._newline, $._indent, repeat1($._statement), $._dedent),

    _statement: ($) => choice($._simple, $.scope, $.if, $.for, $._start),
    _simple: ($) => choice($.step, $.bind, $.input, $.output, $.require),

    step: ($) => seq($._expression, $._newline),
    bind: ($) => seq(field("name", $.name), "=", field("value", $._expression), $._newline),
    scope: ($) => seq(field("label", alias($.name, $.label)), ":", field("body", alias($.suite, $.body))),
    input: ($) => seq("input", field("name", $.identifier), ":", "[", listed($.size), "]", $._newline),
    size: ($) => seq($._expression, optional(seq("=", $._expression))),
    output: ($) => seq("output", field("name", $.name), "=", $._expression, optional($.training), $._newline),
    require: ($) => seq("require", $._expression, ",", $._expression, $._newline),
    if: ($) => seq("if", field("test", $._test), ":", $._suite, repeat($.elif), optional($.else)),
    elif: ($) => seq("elif", field("test", $._test), ":", $._suite),
    else: ($) => seq("else", ":", $._suite),
    for: ($) => seq("for", $.targets, "in", $._test, ":", $._suite),
    targets: ($) => listed($._target),
    _target: ($) => choice($.identifier, seq("(", $.targets, ")")),

    // ------------------------------------------------------------ expressions, loosest first
    _expression: ($) => choice($._link, $.chain),
    chain: ($) => seq($._link, repeat1(seq("->", $._link))),
    _link: ($) => choice($._choice, $.labelled),
    labelled: ($) => seq(field("label", alias($.name, $.label)), ":", $._choice),
    _choice: ($) => choice($._test, $.only_if, $.either),
    only_if: ($) => seq($._test, "if", $._test),
    either: ($) => seq($._test, "if", $._test, "else", $._choice),
    _test: ($) => choice($._conjunction, $.any_of),
    any_of: ($) => seq($._conjunction, repeat1(seq("or", $._conjunction))),
    _conjunction: ($) => choice($._negation, $.all_of),
    all_of: ($) => seq($._negation, repeat1(seq("and", $._negation))),
    _negation: ($) => choice($._comparison, $.negate),
    negate: ($) => seq("not", $._negation),
    _comparison: ($) => choice($._sum, $.compare, $.member),
    compare: ($) => seq($._sum, choice("==", "!=", "<=", ">=", "<", ">"), $._sum),
    member: ($) => seq($._sum, "in", $._sum),
    _sum: ($) => choice($._product, alias($.sum, $.arithmetic)),
    sum: ($) => seq($._product, repeat1(seq(choice("+", "-"), $._product))),
    _product: ($) => choice($._unary, alias($.product, $.arithmetic)),
    product: ($) => seq($._unary, repeat1(seq(choice("*", "/", "//", "%"), $._unary))),
    _unary: ($) => choice($._power, $.minus),
    minus: ($) => seq("-", $._unary),
    _power: ($) => choice($._postfix, $.raised),
    raised: ($) => seq($._postfix, "**", $._unary),
    _postfix: ($) => choice($._atom, $.call, $.attribute, $.index, $.slice),
    call: ($) => seq(field("target", $._postfix), $.arguments),
    attribute: ($) =>
      seq($._postfix, ".", field("attribute", $.identifier), repeat(seq($.interpolation, optional($.identifier)))),
    index: ($) => seq($._postfix, "[", $._choice, "]"),
    slice: ($) => seq($._postfix, "[", optional($._choice), ":", optional($._choice), "]"),
    _atom: ($) =>
      choice($.name, $.integer, $.float, $.string, $.true, $.false, $.group, $.tuple, $.list, $.comprehension),
    group: ($) => seq("(", $._expression, ")"),
    tuple: ($) => seq("(", $._expression, ",", optional(trailed($._expression)), ")"),
    list: ($) => seq("[", optional(trailed($._expression)), "]"),
    comprehension: ($) =>
      seq("[", $._expression, "for", $.targets, "in", $._test, optional(seq("if", $._test)), "]"),

    arguments: ($) => seq("(", optional(trailed($._argument)), ")"),
    _argument: ($) => choice($._expression, $.keyword, $.spread),
    keyword: ($) => seq(field("name", $.identifier), "=", field("value", $._expression)),
    spread: ($) => seq("*", $._expression),

    name: ($) => seq($.identifier, repeat(seq($.interpolation, optional($.identifier)))),
    interpolation: ($) => seq("{", $._expression, "}"),

    // ------------------------------------------------------------ words
    long_string: () => /"""([^"]|"[^"]|""[^"])*"""/,
    string: () => /"[^"\n]*"/,
    float: () => /\d+\.\d+([eE][+-]?\d+)?|\d+[eE][+-]?\d+/,
    integer: () => /\d+/,
    true: () => "true",
    false: () => "false",
    training: () => token(prec(1, /when[ \t]+training/)),
    identifier: () => /[A-Za-z_][A-Za-z_0-9]*/,
    comment: () => /#[^\n]*/,
  },
});
