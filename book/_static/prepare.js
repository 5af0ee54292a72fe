/* A drawing as MNIST would have it: nnlib.cli.prepare_digit once more, function
   by function, in double precision. A test compares the two, image by image.
   A picture here is {height, width, pixels}, row after row. */

const Prepare = (() => {
  "use strict";

  const picture = (height, width) => ({height, width, pixels: new Float64Array(height * width)});
  const largest = (numbers) => numbers.reduce((a, b) => Math.max(a, b), -Infinity);
  const smallest = (numbers) => numbers.reduce((a, b) => Math.min(a, b), Infinity);

  function median(numbers) {
    const sorted = Float64Array.from(numbers).sort();
    const half = sorted.length >> 1;
    return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  }

  /* How much ink each pixel has, from 0 to 1; the border tells what the paper is. */
  function findInk({height, width, pixels}) {
    if (!pixels.every(Number.isFinite)) throw new Error("expected finite gray values, got NaN or infinity");
    const border = [...pixels.subarray(0, width), ...pixels.subarray((height - 1) * width)];
    for (let row = 1; row < height - 1; row++) border.push(pixels[row * width], pixels[row * width + width - 1]);
    const paper = median(border);
    const unevenness = median(border.map((value) => Math.abs(value - paper)));
    const darkInk = paper > (smallest(pixels) + largest(pixels)) / 2;
    const ink = pixels.map((value) => Math.max((darkInk ? paper - value : value - paper) - 2 * unevenness, 0));
    const most = largest(ink);
    if (most === 0) throw new Error("no ink: nothing in the picture stands out from its border");
    return {height, width, pixels: ink.map((value) => value / most)};
  }

  /* The smallest box with every pixel above a share of the maximum. */
  function cropToInk({height, width, pixels}, threshold = 0.1) {
    const limit = threshold * largest(pixels);
    let [top, bottom, left, right] = [height, 0, width, 0];
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        if (pixels[row * width + column] > limit) {
          [top, bottom] = [Math.min(top, row), row];
          [left, right] = [Math.min(left, column), Math.max(right, column)];
        }
      }
    }
    const box = picture(bottom - top + 1, right - left + 1);
    for (let row = 0; row < box.height; row++) {
      const start = (top + row) * width + left;
      box.pixels.set(pixels.subarray(start, start + box.width), row * box.width);
    }
    return box;
  }

  /* For each new pixel of a row, [the first old pixel under it, the share of it that each one covers]. */
  function overlaps(wanted, old) {
    return Array.from({length: wanted}, (_, i) => {
      const [left, right] = [old * i, old * (i + 1)];
      const first = Math.floor(left / wanted);
      const shares = [];
      for (let j = first; wanted * j < right; j++) {
        shares.push((Math.min(right, wanted * (j + 1)) - Math.max(left, wanted * j)) / old);
      }
      return [first, shares];
    });
  }

  /* Average a picture's pixels over the areas of new ones. */
  function resize({height, width, pixels}, rows, columns) {
    const middle = picture(rows, width), out = picture(rows, columns);
    overlaps(rows, height).forEach(([first, shares], i) => shares.forEach((share, k) => {
      for (let j = 0; j < width; j++) middle.pixels[i * width + j] += share * pixels[(first + k) * width + j];
    }));
    overlaps(columns, width).forEach(([first, shares], j) => shares.forEach((share, k) => {
      for (let i = 0; i < rows; i++) out.pixels[i * columns + j] += middle.pixels[i * width + first + k] * share;
    }));
    return out;
  }

  /* Scale until the longer side is `side`, keeping proportions. */
  function fitInto(ink, side = 20) {
    const longer = Math.max(ink.height, ink.width);
    const [rows, columns] = [ink.height, ink.width].map((n) => Math.max(1, Math.floor(side * n / longer + 0.5)));
    return resize(ink, rows, columns);
  }

  /* Mean row and column of the ink. */
  function centerOfMass({height, width, pixels}) {
    let [total, row, column] = [0, 0, 0];
    for (let i = 0; i < height; i++) {
      for (let j = 0; j < width; j++) {
        const value = pixels[i * width + j];
        total += value;
        row += value * i;
        column += value * j;
      }
    }
    return [row / total, column / total];
  }

  /* The whole way: size * size numbers of float32, from 0, paper, to 1. */
  function digit(gray, size = 28, side = 20) {
    const small = fitInto(cropToInk(findInk(gray)), side);
    const most = largest(small.pixels);
    small.pixels = small.pixels.map((value) => value / most);
    const lengths = [small.height, small.width];
    const [top, left] = centerOfMass(small).map((center, k) =>
      Math.min(Math.max(Math.floor(size / 2 - center + 0.5), 0), size - lengths[k]));
    const canvas = new Float32Array(size * size);
    for (let row = 0; row < small.height; row++) {
      canvas.set(small.pixels.subarray(row * small.width, (row + 1) * small.width), (top + row) * size + left);
    }
    return canvas;
  }

  /* What a network would get if nobody took care: the whole sheet, made smaller. */
  function sheet(gray, size = 28) {
    return Float32Array.from(resize(findInk(gray), size, size).pixels);
  }

  return {digit, sheet};
})();

if (typeof module !== "undefined") module.exports = Prepare;
