"""Draw the picture on the cover: a trained network reading test digits.

`python -m course.cover` trains a 784-256-128-10 network for a few seconds and
writes book/_static/cover.svg. Nothing in the picture is decoration. The large
dots are pixels of an MNIST test digit, the small ones the hidden units that it
wakes, and every line is one product the network computed on the way to its
answer: in a network of ReLUs the score of a class is the sum of such products
(and of the biases), so a line either speaks for the answer or against it.

The picture is committed, so that a site build need not train. It is drawn with
paths of zero length and round caps, a dot for nine characters, and takes its
colours from the page it stands on.
"""

import gzip
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "book" / "_static" / "cover.svg"
SIZES = (784, 256, 128, 10)
WIDTH, HEIGHT = 1200, 440
LEVELS = 4  # of opacity: one path each, so that a picture is a few dozen elements

STYLE = """
.cover-art{--f:var(--cover-for,#1f6f8b);--a:var(--cover-against,#c2622d);--i:var(--cover-ink,#26262b)}
@media(prefers-color-scheme:dark){.cover-art{--f:var(--cover-for,#6cc3dd);--a:var(--cover-against,#f0995f);--i:var(--cover-ink,#e8e4da)}}
.cover-art path{fill:none;stroke-linecap:round}
.cover-art .px{stroke:var(--i)}.cover-art .un,.cover-art .for{stroke:var(--f)}.cover-art .against{stroke:var(--a)}
.cover-art .ghost{stroke:var(--i);opacity:.09}.cover-art rect{fill:var(--f)}.cover-art text{fill:var(--i);opacity:.5}
.cover-art .say rect{opacity:1}.cover-art .say text{opacity:1;font-weight:700}.cover-art .miss rect{fill:var(--a)}
.cover-art .sample{visibility:hidden;opacity:0;transition:opacity .4s}.cover-art .shown{visibility:visible;opacity:1}
.cover-art text{font:24px ui-sans-serif,system-ui,"Helvetica Neue",Arial,sans-serif}
@media(prefers-reduced-motion:reduce){.cover-art .sample{transition:none}}
""".strip()


def read(name):
    """Bytes of one of MNIST's gzipped files, header removed."""
    raw = gzip.decompress((ROOT / "data" / f"{name}.gz").read_bytes())
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3])


def mnist(part):
    """Images (784, n) between 0 and 1, and labels (n,)."""
    x = read(f"{part}-images-idx3-ubyte").reshape(-1, 784).T / np.float32(255)
    return x, read(f"{part}-labels-idx1-ubyte")


def forward(weights, x):
    """Every layer's activations; the last are logits."""
    layers = [x]
    for i, (W, b) in enumerate(weights):
        z = W @ layers[-1] + b
        layers.append(z if i == len(weights) - 1 else np.maximum(z, 0))
    return layers


def train(x, y, epochs=4, rate=0.1, batch=64, seed=1):
    """Plain SGD, He initialisation. A little decay keeps idle weights small."""
    rng = np.random.default_rng(seed)
    weights = [[rng.normal(0, np.sqrt(2 / m), (n, m)).astype(np.float32), np.zeros((n, 1), np.float32)]
               for m, n in zip(SIZES, SIZES[1:])]
    for _ in range(epochs):
        for some in np.array_split(rng.permutation(x.shape[1]), x.shape[1] // batch):
            layers = forward(weights, x[:, some])
            p = np.exp(layers[-1] - layers[-1].max(axis=0))
            d = p / p.sum(axis=0)
            d[y[some], np.arange(len(some))] -= 1
            for (W, b), a in zip(reversed(weights), reversed(layers[:-1])):
                dW, db, d = d @ a.T, d.sum(axis=1, keepdims=True), (W.T @ d) * (a > 0)
                W -= rate * (dW / len(some) + 1e-4 * W)
                b -= rate * db / len(some)
    return weights


def by_opinion(weights):
    """Reorder hidden units by the digit they speak for, so that lines run together."""
    (W1, b1), (W2, b2), (W3, b3) = weights
    order = np.lexsort((-W3.max(axis=0), W3.argmax(axis=0)))
    W2, b2, W3 = W2[order], b2[order], W3[:, order]
    vote = W3 @ np.maximum(W2, 0)
    order = np.lexsort((-vote.max(axis=0), vote.argmax(axis=0)))
    return [(W1[order], b1[order]), (W2[:, order], b2), (W3, b3)]


def places():
    """Where pixels, units and outputs stand: one (n, 2) array of points a layer."""
    def grid(x, columns, rows, dx, dy):
        r, c = np.divmod(np.arange(rows * columns), columns)
        return np.stack([x + dx * c, (HEIGHT - dy * (rows - 1)) // 2 + dy * r], axis=1)
    return [grid(12, 28, 28, 15, 15), grid(570, 8, 32, 11, 13), grid(806, 4, 32, 11, 13), grid(970, 1, 10, 0, 43)]


def products(weights, layers, answer):
    """For each pair of layers, the products W[j, i] * a[i], times what unit j then does to the answer."""
    found, d = [], np.eye(SIZES[-1])[answer][:, None]
    for (W, _), a in zip(reversed(weights), reversed(layers[:-1])):
        found.append(W * a[:, 0] * d)
        d = (W.T @ d) * (a > 0)
    return found[::-1]


def dots(points, values, kind, width):
    """Dots at points, their opacity in LEVELS steps of value over the largest value."""
    level = np.ceil(LEVELS * values / max(values.max(), 1e-9)).astype(int)
    return "".join(
        f'<path class="{kind}" stroke-width="{width}" opacity="{k / LEVELS:.2f}" d="'
        + "".join(f"M{x} {y}h0" for x, y in points[level == k]) + '"/>'
        for k in range(1, LEVELS + 1) if (level == k).any())


def lines(start, end, strength, count):
    """The `count` strongest connections as level curves, in LEVELS widths and two kinds."""
    j, i = np.unravel_index(np.argsort(-np.abs(strength), axis=None)[:count], strength.shape)
    value = strength[j, i]
    level = np.ceil(LEVELS * np.sqrt(np.abs(value) / np.abs(value).max())).astype(int)
    out = []
    for kind, side in (("against", value < 0), ("for", value > 0)):
        for k in range(1, LEVELS + 1):
            d = []
            for (x0, y0), (x1, y1) in zip(start[i[side & (level == k)]], end[j[side & (level == k)]]):
                h = (x1 - x0) // 2
                d.append(f"M{x0} {y0}c{h} 0 {h} {y1 - y0} {x1 - x0} {y1 - y0}")
            if d:
                out.append(f'<path class="{kind}" stroke-width="{.35 + .3 * k:.2f}" '
                           f'opacity="{.09 + .13 * k:.2f}" d="{"".join(d)}"/>')
    return "".join(out)


def sample(weights, image, label, at):
    """One digit on its way through the network, as an SVG group."""
    layers = forward(weights, image[:, None])
    p = np.exp(layers[-1][:, 0] - layers[-1].max())
    p /= p.sum()
    answer = int(p.argmax())
    flow = products(weights, layers, answer)
    flow[2] = weights[2][0] * layers[2][:, 0]  # the last lines go to all ten outputs
    art = "".join(lines(a, b, f, n) for a, b, f, n in zip(at, at[1:], flow, (360, 260, 80)))
    art += dots(at[0], image, "px", 12.5)
    art += dots(at[1], layers[1][:, 0], "un", 7) + dots(at[2], layers[2][:, 0], "un", 7)
    for k, (x, y) in enumerate(at[3]):
        kind = "" if k != answer else ' class="say"' if answer == label else ' class="say miss"'
        art += (f'<g{kind}><text x="{x + 14:.0f}" y="{y + 8.5:.0f}">{k}</text>'
                f'<rect x="{x + 42:.0f}" y="{y - 9:.0f}" width="{max(2, 170 * p[k]):.0f}" height="18" rx="2"'
                f' opacity=".55"/></g>')
    told = f"a {label}" + ("" if answer == label else f", read as a {answer}")
    return f'<g class="sample" data-digit="{label}" data-label="{told}">{art}</g>'


def choose(weights, x, y):
    """The first test digit of each class read with confidence, and the surest mistake."""
    z = forward(weights, x)[-1]
    p = np.exp(z - z.max(axis=0))
    p /= p.sum(axis=0)
    right = (z.argmax(axis=0) == y) & (p.max(axis=0) > 0.97)
    wrong = np.flatnonzero(z.argmax(axis=0) != y)
    surest = wrong[p[:, wrong].max(axis=0).argmax()]
    return [int(np.flatnonzero(right & (y == k))[0]) for k in range(10)] + [int(surest)]


def draw(weights, x, y):
    """The whole picture: one group a digit, of which one is shown."""
    at = places()
    every = "".join(f"M{a} {b}h0" for points in at[:3] for a, b in points)
    ghost = f'<path class="ghost" stroke-width="5" d="{every}"/>'
    groups = "\n".join(sample(weights, x[:, n], int(y[n]), at) for n in choose(weights, x, y))
    groups = groups.replace('class="sample" data-digit="3"', 'class="sample shown" data-digit="3"', 1)
    return (f'<svg class="cover-art" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            'role="img" aria-labelledby="cover-title"><title id="cover-title">A handwritten digit, drawn as dots, '
            "flows along curved lines through two layers of hidden units into ten bars, one for each digit.</title>"
            f"<style>{STYLE}</style>\n{ghost}\n{groups}\n</svg>\n")


def main():
    weights = by_opinion(train(*mnist("train")))
    x, y = mnist("t10k")
    accuracy = (forward(weights, x)[-1].argmax(axis=0) == y).mean()
    TARGET.write_text(draw(weights, x, y), encoding="utf-8")
    print(f"{TARGET.relative_to(ROOT)}: {TARGET.stat().st_size / 1e3:.0f} kB, test accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
