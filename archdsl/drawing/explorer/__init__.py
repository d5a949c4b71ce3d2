"""The page of `archdsl explore`: its frame, style and script, which `archdsl.drawing.exploring` puts together."""
