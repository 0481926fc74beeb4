"""The demo's page: figures and pictures in one HTML file that links to the rest by relative paths."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #282c34; background: #fcfcfa; margin: 2rem auto; max-width: 84rem;
       padding: 0 1.5rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
p { max-width: 46rem; } img { max-width: 100%; height: auto; display: block; margin: .6rem 0; }
table { border-collapse: collapse; } td { padding: .25rem 1.6rem .25rem 0; border-bottom: 1px solid #e4e5e2; }
td + td { font-variant-numeric: tabular-nums; }
code { background: #f0f0ec; padding: .1rem .3rem; border-radius: 3px; } pre code { display: block; padding: .8rem; }
"""


def page(figures: Sequence[tuple[str, str]], views: Sequence[tuple[str, str]]) -> str:
    """The HTML of the page.

    Args:
        figures: rows of the table of figures, name and value.
        views: a caption and the relative path of each clip's picture.
    """
    rows = "\n".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in figures)
    shown = "\n".join(
        f'<h3>{escape(caption)}</h3><img src="{escape(path)}" alt="{escape(caption)}">' for caption, path in views
    )
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>flowkit demo</title>
<style>{_STYLE}</style>
<h1>flowkit demo</h1>
<p>Faces with a motion that is exactly known, the flow and strain that flowkit found in them, and a model that was
trained on that motion and tested on people it had never seen.</p>

<h2>Figures</h2>
<table>
{rows}
</table>
<p><a href="loso/report.html">The report of the leave-one-subject-out run</a></p>

<h2>What was put in, and what came out</h2>
<p>For each emotion the portrait and one drawn face, each in its strongest clip. The true and the found flow have the
same colours: hue is direction, saturation is length.</p>
<img src="pictures/montage.png" alt="Apex frame, true flow, found flow and strain for each emotion">

<h2>One clip of each emotion</h2>
{shown}

<h2>The people</h2>
<p>Subject s01 is the public-domain portrait of Eileen Collins by NASA that comes with scikit-image; the others are
drawn. The two groups are drawn alike and differ by chance only.</p>
<img src="pictures/subjects.png" alt="The neutral frame of every subject">

<h2>Go on from here</h2>
<pre><code>flowkit verify shards
flowkit view shards --clip s02_surprise_1 -o picture.png
flowkit-train loso shards -o control --preset quick --shuffle-labels</code></pre>
</html>
"""
