#!/usr/bin/env python3
"""Makes docs/images/top.png: `acgs-perf top --replay CAPTURE` on a terminal of 100 columns, as a browser draws it.

    cargo xtask demo && docs/images/top.py target/release/acgs-perf report.capture docs/images/top.png

Needs tmux and chromium. What is shown is what the terminal shows: tmux gives the cells with their colours, and nothing is added.
"""

import html
import pathlib
import re
import subprocess
import sys
import tempfile
import time

COLUMNS, LINES = 100, 24
# Pixels of a cell, as the style below draws it.
WIDE, HIGH, MARGIN = 8, 17, 12
COLOURS = ["#1c1f26", "#ff7b72", "#7ee787", "#e3b341", "#79c0ff", "#d2a8ff", "#76e3ea", "#d5dae1"]
STYLE = f"""
html, body {{ margin: 0; background: {COLOURS[0]}; }}
pre {{ margin: {MARGIN}px; color: {COLOURS[7]}; font: 13px/{HIGH}px "DejaVu Sans Mono", monospace; }}
b {{ font-weight: 700; }} i {{ font-style: normal; opacity: .65; }}
"""


def cells(text):
    """The text with its colours as HTML."""
    out, style = [], {}
    for part in re.split(r"(\x1b\[[0-9;]*m)", text.replace("\x0f", "")):
        if not part.startswith("\x1b["):
            if part:
                out.append(span(part, style))
            continue
        # A colour by its number is one of the first eight too.
        plain = re.sub(r"38;5;([0-7])(?=[;m])", lambda of: str(30 + int(of[1])), part)
        for code in [int(code or 0) for code in plain[2:-1].split(";")]:
            if code == 0:
                style = {}
            elif code in (1, 2, 7):
                style[code] = True
            elif 30 <= code <= 37:
                style["colour"] = COLOURS[code - 30]
            elif code == 39:
                style.pop("colour", None)
    return "".join(out)


def span(text, style):
    text = html.escape(text)
    fore = style.get("colour", COLOURS[7])
    look = f"color:{COLOURS[0]};background:{fore}" if style.get(7) else f"color:{fore}"
    text = f'<span style="{look}">{text}</span>'
    text = f"<b>{text}</b>" if style.get(1) else text
    return f"<i>{text}</i>" if style.get(2) else text


def main(agent, capture, picture):
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        tmux = ["env", "-u", "NO_COLOR", "TERM=xterm-256color", "LC_ALL=C.UTF-8"]
        tmux += ["tmux", "-u", "-S", str(directory / "tmux"), "-f", "/dev/null"]
        view = [str(pathlib.Path(agent).resolve()), "top", "--replay", str(pathlib.Path(capture).resolve())]
        size = ["-x", str(COLUMNS), "-y", str(LINES)]
        subprocess.run(tmux + ["new-session", "-d", *size, *view], check=True)
        try:
            screen = wait_until(tmux, "its end")
        finally:
            subprocess.run(tmux + ["kill-server"], check=False)
        page = directory / "top.html"
        page.write_text(f"<!doctype html><meta charset=utf-8><style>{STYLE}</style><pre>{cells(screen)}</pre>")
        window = f"{COLUMNS * WIDE + 2 * MARGIN},{LINES * HIGH + 2 * MARGIN}"
        subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={window}",
             f"--user-data-dir={directory / 'browser'}", f"--screenshot={pathlib.Path(picture).resolve()}", page.as_uri()],
            check=True, stderr=subprocess.DEVNULL)


def wait_until(tmux, words):
    """The screen with its colours, once it says so: the whole recording has been played."""
    for _ in range(600):
        screen = subprocess.run(tmux + ["capture-pane", "-e", "-p"], check=True, capture_output=True, text=True).stdout
        if words in re.sub(r"\x1b\[[0-9;]*m", "", screen):
            return screen.rstrip("\n")
        time.sleep(0.1)
    sys.exit(f"the view does not say {words!r}:\n{screen}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
