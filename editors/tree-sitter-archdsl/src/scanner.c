// The line structure of `.arch` files, as `archdsl/syntax/lexer.py` finds it: ends of lines, and indentation. A line that
// starts with `->` continues the one before it, and so does every line inside brackets.

#include "tree_sitter/alloc.h"
#include "tree_sitter/parser.h"

#include <string.h>
#include <wctype.h>

enum Token { NEWLINE, INDENT, DEDENT, START, OPEN_PAREN, OPEN_BRACKET, OPEN_BRACE, CLOSE_PAREN, CLOSE_BRACKET, CLOSE_BRACE };

#define BRACKETS "([{)]}"  // in the order of their tokens
#define MOST 100           // indented bodies inside one another, as in the compiler

typedef struct {
  uint16_t open;   // brackets
  uint16_t taken;  // 1 + the indentation of a line whose start is behind us, as the end of the one before was an error
  uint16_t depth;
  uint16_t indents[MOST];  // of the bodies that are open; the file's own, 0, is not among them
} Scanner;

void *tree_sitter_archdsl_external_scanner_create(void) { return ts_calloc(1, sizeof(Scanner)); }

void tree_sitter_archdsl_external_scanner_destroy(void *payload) { ts_free(payload); }

unsigned tree_sitter_archdsl_external_scanner_serialize(void *payload, char *buffer) {
  Scanner *scanner = payload;
  unsigned size = (3 + scanner->depth) * sizeof(uint16_t);
  memcpy(buffer, scanner, size);
  return size;
}

void tree_sitter_archdsl_external_scanner_deserialize(void *payload, const char *buffer, unsigned length) {
  Scanner *scanner = payload;
  scanner->open = scanner->taken = scanner->depth = 0;
  if (length) {
    memcpy(scanner, buffer, length);
  }
}

// Goes on to the next word. Returns whether it is in another line; `indent` is how far that is indented, `passed` whether
// there was a comment on the way.
static bool next_word(TSLexer *lexer, uint16_t *indent, bool *passed) {
  bool ended = false;
  for (;; lexer->advance(lexer, true)) {
    if (lexer->eof(lexer)) {
      *indent = 0;
      return true;
    }
    switch (lexer->lookahead) {
      case '\n':
        ended = true;
        *indent = 0;
        break;
      case ' ':
      case '\t':
        ++*indent;
        break;
      case '\r':
        break;
      case '#':
        *passed = true;
        while (!lexer->eof(lexer) && lexer->lookahead != '\n') {
          lexer->advance(lexer, true);
        }
        if (lexer->eof(lexer)) {
          continue;
        }
        ended = true;
        *indent = 0;
        break;
      case '\\':
        lexer->advance(lexer, true);
        if (lexer->lookahead != '\n') {
          return ended;
        }
        break;
      default:
        return ended;
    }
  }
}

static bool is_word(int32_t letter) { return iswalnum((wint_t)letter) || letter == '_'; }

// Says whether an item of a file starts here: its word and a name. Two names in a row stand nowhere inside brackets.
static bool item_starts(TSLexer *lexer) {
  static const char *const words[] = {"block", "default", "fn", "from", "init", "net"};
  char word[8] = "";
  for (unsigned length = 0; is_word(lexer->lookahead) && length < sizeof word - 1; ++length) {
    word[length] = (char)lexer->lookahead;
    lexer->advance(lexer, true);
  }
  if (lexer->lookahead != ' ') {
    return false;
  }
  while (lexer->lookahead == ' ') {
    lexer->advance(lexer, true);
  }
  for (unsigned at = 0; at < sizeof words / sizeof *words; ++at) {
    if (!strcmp(word, words[at])) {
      return is_word(lexer->lookahead);
    }
  }
  return false;
}

static bool found(TSLexer *lexer, enum Token token) {
  lexer->result_symbol = token;
  return true;
}

// A bracket in the same line; it is counted.
static bool bracket(Scanner *scanner, TSLexer *lexer) {
  const char *at = lexer->lookahead > 0 && lexer->lookahead < 128 ? strchr(BRACKETS, (char)lexer->lookahead) : NULL;
  if (!at) {
    return false;
  }
  lexer->advance(lexer, false);
  lexer->mark_end(lexer);
  enum Token token = OPEN_PAREN + (enum Token)(at - BRACKETS);
  if (token < CLOSE_PAREN) {
    ++scanner->open;
  } else if (scanner->open) {
    --scanner->open;
  }
  return found(lexer, token);
}

// What the end of a line means, and the indentation of the next one.
static bool line_end(Scanner *scanner, TSLexer *lexer, const bool *valid, uint16_t indent, bool passed) {
  bool recovering = valid[START] && valid[NEWLINE];
  uint16_t current = scanner->depth ? scanner->indents[scanner->depth - 1] : 0;
  if (scanner->open) {
    if (indent || !is_word(lexer->lookahead)) {
      return !passed && bracket(scanner, lexer);  // a comment is a word of its own, and comes first
    }
    if (!item_starts(lexer)) {
      return false;
    }
    scanner->open = 0;  // a bracket was forgotten
    return found(lexer, NEWLINE);
  }
  bool sign = lexer->lookahead == '-';
  if (sign) {
    lexer->advance(lexer, true);
    if (lexer->lookahead == '>') {
      return false;
    }
  }
  if (valid[INDENT] && !recovering && indent > current && scanner->depth < MOST) {
    scanner->indents[scanner->depth++] = indent;
    return found(lexer, INDENT);
  }
  if (valid[DEDENT] && indent < current) {
    --scanner->depth;
    return found(lexer, DEDENT);
  }
  if (valid[NEWLINE] && !recovering) {
    return found(lexer, NEWLINE);
  }
  if (sign || passed) {
    return false;
  }
  if (valid[START]) {
    return bracket(scanner, lexer);
  }
  scanner->taken = indent + 1;
  lexer->mark_end(lexer);
  return found(lexer, NEWLINE);  // an error here, which leaves the next line alone
}

bool tree_sitter_archdsl_external_scanner_scan(void *payload, TSLexer *lexer, const bool *valid) {
  Scanner *scanner = payload;
  uint16_t indent = 0;
  lexer->mark_end(lexer);  // the end of a line has no width: comments behind it are words of their own
  bool passed = false;
  bool ended = next_word(lexer, &indent, &passed);
  if (!ended && scanner->taken && lexer->get_column(lexer) == scanner->taken - 1u) {
    indent = scanner->taken - 1;
    ended = true;
  }
  return ended ? line_end(scanner, lexer, valid, indent, passed) : bracket(scanner, lexer);
}
