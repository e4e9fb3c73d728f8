# SPDX-License-Identifier: MIT
"""What a page must have for everybody to use it, computed in the page; each finding is a line of text."""

CONTENT = r"""
const found = [];
const seen = (e) => e.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) && !e.closest('.hidden-text') && e.getClientRects().length > 0;
const say = (e) => e.outerHTML.slice(0, 120);
if (!document.documentElement.lang) found.push('no language');
if (!document.title.trim()) found.push('no title');
if ([...document.querySelectorAll('main')].filter(seen).length !== 1) found.push('not one main');
const headings = [...document.querySelectorAll('h1, h2, h3, h4')].filter(seen);
if (headings.filter((e) => e.tagName === 'H1').length !== 1) found.push('not one h1');
const levels = [...document.querySelectorAll('main h1, main h2, main h3, main h4')].filter(seen).map((e) => Number(e.tagName[1]));
levels.forEach((level, i) => { if (level > (levels[i - 1] ?? 0) + 1) found.push(`heading ${level} after ${levels[i - 1] ?? 0}`); });
const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
for (const id of ids) if (ids.filter((other) => other === id).length > 1) found.push(`id twice: ${id}`);
for (const name of ['for', 'aria-labelledby', 'aria-describedby', 'aria-controls'])
  for (const e of document.querySelectorAll(`[${name}]`))
    for (const id of e.getAttribute(name).split(' ')) if (!document.getElementById(id)) found.push(`${name} to nothing: ${say(e)}`);
for (const e of document.querySelectorAll('img')) if (e.getAttribute('alt') === null) found.push(`picture without words: ${say(e)}`);
for (const e of document.querySelectorAll('input:not([type=hidden]), select, textarea'))
  if (!e.labels?.length && !e.getAttribute('aria-label')) found.push(`field without label: ${say(e)}`);
for (const e of document.querySelectorAll('button, a[href], [role=slider]')) {
  if (!seen(e)) continue;
  const name = e.getAttribute('aria-label') ?? e.innerText;
  if (!name.trim()) found.push(`control without name: ${say(e)}`);
  const box = e.getBoundingClientRect();
  const inline = getComputedStyle(e).display === 'inline' || e.classList.contains('link');
  if (!inline && (box.width < 24 || box.height < 24)) found.push(`control of ${box.width}x${box.height}: ${say(e)}`);
}
for (const e of document.querySelectorAll('table')) if (!e.querySelector('th[scope]')) found.push('table without heads');
for (const e of document.querySelectorAll('[tabindex]')) if (e.tabIndex > 0) found.push(`order forced: ${say(e)}`);
const brush = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d', { willReadFrequently: true });
const rgba = (color) => { brush.clearRect(0, 0, 1, 1); brush.fillStyle = color; brush.fillRect(0, 0, 1, 1); return [...brush.getImageData(0, 0, 1, 1).data]; };
const over = ([r, g, b, a], under) => [r, g, b].map((c, i) => (c * a + under[i] * (255 - a)) / 255);
const ground = (e) => {
  const layers = [];
  for (let at = e; at; at = at.parentElement) {
    const layer = rgba(getComputedStyle(at).backgroundColor);
    layers.push(layer);
    if (layer[3] === 255) break;
  }
  return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255]);
};
const light = (color) => { const [r, g, b] = color.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const ratio = (a, b) => { const [low, high] = [light(a), light(b)].sort((x, y) => x - y); return (high + 0.05) / (low + 0.05); };
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let counted = 0;
while (texts.nextNode()) {
  const e = texts.currentNode.parentElement;
  if (!texts.currentNode.data.trim() || !seen(e) || e.closest('svg, :disabled, .skip, option')) continue;
  const style = getComputedStyle(e);
  const size = parseFloat(style.fontSize);
  const least = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
  const under = ground(e);
  const has = ratio(over(rgba(style.color), under), under);
  counted += 1;
  if (has < least) found.push(`contrast ${has.toFixed(2)}: ${say(e)}`);
}
if (counted < 5) found.push('next to no text');
for (const e of document.querySelectorAll('input, select, textarea')) {
  if (!seen(e)) continue;
  const has = ratio(rgba(getComputedStyle(e).borderTopColor).slice(0, 3), ground(e.parentElement));
  if (has < 3) found.push(`border ${has.toFixed(2)}: ${say(e)}`);
}
return [...new Set(found)];
"""

FOCUSED = r"""
const e = document.activeElement;
if (e === document.body) return null;
const all = [...document.querySelectorAll('*')];
const style = getComputedStyle(e);
const box = e.getBoundingClientRect();
return { at: all.indexOf(e), what: e.outerHTML.slice(0, 100), ring: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
         inside: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth };
"""


CONTROLS = ("button", "link", "textbox", "searchbox", "combobox", "slider", "spinbutton", "checkbox", "image", "progressbar", "dialog")


def findings(browser):
    """What the page says of itself, and what the browser tells those who don't see it."""
    nodes = browser.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    controls = [node for node in nodes if not node["ignored"] and node["role"]["value"] in CONTROLS]
    nameless = [f"{node['role']['value']} without a name" for node in controls if not node.get("name", {}).get("value", "").strip()]
    return browser.run(CONTENT) + nameless + ([] if len(controls) > 1 else ["next to no controls"])


def wrong_with(browser, look, views):
    """What is wrong with views, light or dark, in a wide window and in a narrow one. Each is a function by its name that
    goes there, and gives false where there is none."""
    wrong = {}
    try:
        browser.prefer(scheme=look)
        for width in (1280, 360):
            browser.size(width, 860 if width > 360 else 780)
            for view in (view for view, visit in views.items() if visit()):
                browser.picture(f"{look}-{width}-{view.strip('#/').split('.')[0]}")
                found = findings(browser)
                wide = browser.run("return document.documentElement.scrollWidth")
                if wide > width:
                    found.append(f"{wide} wide in {width}")
                if found:
                    wrong[f"{look} {width} {view}"] = found
    finally:
        browser.size(1280)
        browser.prefer()
    return wrong


def walk_by_keyboard(browser, most=60):
    """What Tab reaches on a page just loaded, in order."""
    from selenium.webdriver.common.keys import Keys
    reached = []
    for _ in range(most):
        browser.keys(Keys.TAB)
        here = browser.run(FOCUSED)
        if here is None or (reached and here["at"] == reached[0]["at"]):
            break
        reached.append(here)
    return reached
