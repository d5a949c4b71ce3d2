"""The grammar of `.arch` files, and the LALR(1) tables that Lark builds from it (`make grammar`)."""
