"""The parts that pages are made of: HTML without scripts, and nothing loaded from elsewhere."""

from collections.abc import Sequence
from importlib.resources import files

from lstm_jax.reports.charts import colour
from lstm_jax.reports.escaped import escaped
from lstm_jax.reports.shares import percent


def document(title: str, sections: Sequence[str]) -> str:
    """A page of sections, with the style sheet in it and no way to load anything.

    Args:
        title: of the page, as text.
        sections: HTML.
    """
    style = files("lstm_jax.reports").joinpath("report.css").read_text(encoding="utf-8")
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escaped(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(section for section in sections if section)
        + "\n</main>\n</body>\n</html>\n"
    )


def section(title: str, explanation: str, *content: str) -> str:
    """A part of the page; "" without content.

    Args:
        title, explanation: as text.
        content: HTML; what is "" is left out.
    """
    if not any(content):
        return ""
    explained = f"<p>{escaped(explanation)}</p>" if explanation else ""
    return f"<section>\n<h2>{escaped(title)}</h2>\n{explained}\n{''.join(content)}\n</section>"


def figure(title: str, picture: str, legend: str = "") -> str:
    """A picture under its title; "" without a picture."""
    if not picture:
        return ""
    return f"<figure><figcaption>{escaped(title)}</figcaption>{picture}{legend}</figure>"


def figures(*each: str) -> str:
    """Figures side by side, or one below the other where it is narrow."""
    return f'<div class="figures">{"".join(each)}</div>' if any(each) else ""


def legend(names: Sequence[str]) -> str:
    """What the colours of lines mean, as HTML.

    Args:
        names: in the order of the colours, as text.
    """
    items = [
        f'<li><i class="{colour(number)}"></i>{escaped(name)}</li>'
        for number, name in enumerate(names)
    ]
    return f'<ul class="legend">{"".join(items)}</ul>'


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], style: str = "") -> str:
    """A table whose first column names the rows.

    Args:
        headers: of the columns, as text.
        rows: HTML; a cell that begins with a digit is set to the right.
        style: a class of the style sheet.
    """
    head = "".join(f'<th scope="col">{escaped(header)}</th>' for header in headers)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in others)}</tr>'
        for first, *others in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="table"><table class="{style}">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def percentage(value: float, digits: int = 1) -> str:
    """A share in percent, as HTML."""
    return escaped(percent(value, digits))


def interval_bar(low: float, share: float, high: float) -> str:
    """A small picture of a share and its interval on a line from 0 to 1."""
    return (
        f'<span class="bar" aria-hidden="true"><i style="width:{100 * share:.1f}%"></i>'
        f'<b style="left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%"></b></span>'
    )
