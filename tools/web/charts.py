# Charts for a page with a strict policy: pygal draws them, its styles go to the page's own, its scripts nowhere.
import math
import sys
from xml.etree import ElementTree

import pygal
from pygal.style import Style

# pygal hooks into everybody's imports, for plugins that are not used here, in a way that Python warns of.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__.partition(".")[0] != "pygal"]

BAR, STACK, LINE = pygal.Bar, pygal.StackedBar, pygal.Line
_LABELS = 8  # below a chart
_STYLE = Style(
    background="transparent",
    plot_background="transparent",
    foreground="var(--soft)",
    foreground_strong="var(--ink)",
    foreground_subtle="var(--line)",
    colors=("var(--up)", "var(--down)"),
    opacity=".85",
    label_font_size=16,
    major_label_font_size=16,
    legend_font_size=16,
    font_family="inherit",
    transition="none",
)


def draw(kind, title, labels, series):
    """`series` is {name: [a number, or None for a gap]} -> (title, its style, its SVG)."""
    numbers = [value for values in series.values() for value in values if value is not None]
    chart = kind(
        style=_STYLE,
        width=600,
        height=240,
        margin=4,
        spacing=6,
        show_legend=len(series) > 1,
        legend_at_bottom=True,
        show_minor_x_labels=False,
        js=[],
        show_x_guides=False,
        disable_xml_declaration=True,
        value_formatter=lambda value: f"{value:,.10g}",
        y_labels_major_count=3,
        show_minor_y_labels=False,
        order_min=0 if all(isinstance(number, int) for number in numbers) else None,
        include_x_axis=True,
        dots_size=2.5,
    )
    chart.x_labels = labels
    chart.x_labels_major = labels[:: max(1, math.ceil(len(labels) / _LABELS))]
    for name, values in series.items():
        chart.add(name, values)
    return title, *_apart(chart.render_tree(), title)


def _apart(root, title):
    """pygal's tree -> (its style, its SVG without style and script)."""
    style = ""
    for parent in root.iter():
        for child in list(parent):
            if child.tag == "style":
                style += child.text or ""
            if child.tag in ("style", "script", "title"):
                parent.remove(child)
            child.attrib.pop("style", None)
    root.set("role", "img")
    root.set("aria-label", title)
    return style, ElementTree.tostring(root, encoding="unicode")
