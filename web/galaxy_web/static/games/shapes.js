/** A shape for each seat, so that owners differ without their colours too. */

/** Corners and the share of the radius at which every second one lies. @type {[number, number][]} */
const SHAPES = [[3, 1], [4, 1], [8, 0.5], [5, 1], [6, 1], [10, 0.5], [6, 0.4], [8, 1]];

/**
 * Return the points of a seat's polygon.
 * @param {number} seat from 1
 * @param {number} x
 * @param {number} y
 * @param {number} radius
 */
export function points(seat, x, y, radius) {
  const [corners, inner] = SHAPES[(seat - 1) % SHAPES.length];
  return Array.from({ length: corners }, (_, corner) => {
    const angle = (2 * Math.PI * corner) / corners - Math.PI / 2;
    const distance = corner % 2 === 1 ? radius * inner : radius;
    return `${(x + distance * Math.cos(angle)).toFixed(1)},${(y + distance * Math.sin(angle)).toFixed(1)}`;
  }).join(" ");
}
