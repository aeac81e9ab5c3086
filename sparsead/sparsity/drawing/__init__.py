"""Pictures of patterns: as text for terminals, as SVG for notebooks, by matplotlib for papers.

All take compressed rows (`indptr`, `indices`, `shape`) as arrays, and colours as arrays with -1 for what has none. Patterns too
large for the picture are shown by counts of entries in equal blocks, in time proportional to the entries.

Layout: ``_blocks.py`` the counts, ``_text.py`` braille, ``_markup.py`` SVG and HTML, ``_sides.py`` who reads which entry,
``_figures.py`` and ``_painting.py`` matplotlib, ``_shown.py`` what Jacobians and Hessians show of themselves, ``_words.py``
numbers in words.
"""

from ._blocks import block_counts as block_counts
from ._figures import plot_coloring as plot_coloring
from ._figures import plot_compressed as plot_compressed
from ._figures import plot_pattern as plot_pattern
from ._markup import pattern_svg as pattern_svg
from ._text import pattern_text as pattern_text
